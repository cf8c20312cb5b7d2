"""The process in which one model of the miniature is trained: ``skills_process.py JOB_FILE PARENT_PROCESS``."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path


def end_with_parent(parent: int) -> None:
    """Ask the kernel (Linux) to kill this process when ``parent`` ends.

    Elsewhere the next progress line, written to a closed pipe, ends it.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that asked for this training has ended")


def main() -> None:
    """Train with one thread; print a line ``[step, steps]`` now and then."""
    end_with_parent(int(sys.argv[2]))
    # Only now, because importing takes seconds in which the parent may end.
    import skills_training
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    skills_training.run(job, lambda step, steps: print(json.dumps([step, steps]), flush=True))


if __name__ == "__main__":
    main()
