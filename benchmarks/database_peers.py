"""The environments and processes of the peers' databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from evolve.resources import cache_folder

PACKAGES = {
    "shinka": ("ShinkaEvolve 0.0.7", "shinka-evolve==0.0.7"),
    "openevolve": ("OpenEvolve 0.4.0", "openevolve==0.4.0"),
}
"""Title and requirement of each peer."""

SCRIPT = Path(__file__).with_name("database_peer.py")
STEP = 100


class Running:
    """A peer's process with a growing database."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.size = 0
        self._process = process

    def add(self, count: int) -> dict[str, Any]:
        """Adds so many programs; their wall and CPU seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None, "both are pipes"
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended; what it said is above")
        reply: dict[str, Any] = json.loads(line)
        self.size = reply["size"]
        return reply

    def grow(self, size: int, limit_s: float) -> bool:
        """Adds programs up to ``size``; False where that takes longer than ``limit_s``."""
        end = time.monotonic() + limit_s
        while self.size < size and time.monotonic() < end:
            self.add(min(STEP, size - self.size))
        return self.size >= size


def environment(name: str) -> Path | None:
    """The Python of a peer's own environment, made now unless it is there; None where it cannot be installed."""
    folder = cache_folder() / "database-benchmark" / PACKAGES[name][1]
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        done = subprocess.run([str(python), "-m", "pip", "install", "-qq", PACKAGES[name][1]], check=False)
        if done.returncode:
            return None
        (folder / "installed").touch()
    return python


@contextmanager
def started(folder: Path) -> Iterator[list[Running]]:
    """The peers that can be installed, each with an empty database in a folder that is gone afterwards."""
    with ExitStack() as stack:
        running = []
        for name, (title, requirement) in PACKAGES.items():
            python = environment(name)
            if python is None:
                print(f"{title} cannot be installed here: pip install {requirement} failed")
                continue
            home = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
            variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
            process = subprocess.Popen(
                [str(python), str(SCRIPT), name, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=variables,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            running.append(Running(title, process))
        yield running
