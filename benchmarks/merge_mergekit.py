"""mergekit as a library, for benchmarks/merge.py; run by the Python of mergekit's own environment.

    python merge_mergekit.py CONFIG.yml OUTPUT_FOLDER

Merges twice in this process, into a fresh folder each time, and prints the seconds of the second as JSON.
"""

import json
import shutil
import sys
import time
from pathlib import Path

import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions


def main() -> None:
    config, output = Path(sys.argv[1]), Path(sys.argv[2])
    merge = MergeConfiguration.model_validate(yaml.safe_load(config.read_text()))
    for _ in range(2):
        shutil.rmtree(output, ignore_errors=True)
        wall, cpu = time.perf_counter(), time.process_time()
        run_merge(merge, out_path=str(output), options=MergeOptions(quiet=True))
        seconds = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
