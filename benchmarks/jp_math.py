"""The main job, measured: zoo, evaluations and whole runs of problems/jp_math, one run for each search seed.

    python benchmarks/jp_math.py --seeds 0 1 2 --evaluations 200

Prints a table in Markdown for docs/benchmarks.md. The zoo is built in an empty cache unless --keep-cache is given.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evolve.statistics import compare, mean_interval
from evolve.store import queries

COLUMNS = (
    "seed",
    "run s",
    "s per evaluation",
    "search",
    "validation",
    "test",
    "over uniform average",
    "over strongest",
)
EVOLVE = [sys.executable, "-m", "evolve"]


def timed(arguments: list[str], environment: dict[str, str]) -> float:
    """Wall seconds of one evolve command; its output goes to stderr."""
    start = time.perf_counter()
    subprocess.run([*EVOLVE, *arguments], env=environment, stdout=sys.stderr, check=True)
    return time.perf_counter() - start


def figures(folder: Path) -> dict[str, Any]:
    """What a finished run says of itself."""
    with queries.reading(folder) as connection:
        summary = queries.summary(connection, folder)
        winner = summary["winner_id"]
        baselines = [row for row in queries.baselines(connection) if row["state"] == "scored"]
        splits = {row["split"]: row for row in queries.evaluations(connection, winner)}
        seconds = [
            row["seconds"] for row in connection.execute("SELECT seconds FROM evaluations WHERE split = 'search'")
        ]
        differences = {
            row["seed_name"]: compare(splits["test"]["outcomes"], queries.outcomes(connection, row["id"], "test"))
            for row in baselines
            if row["id"] != winner
        }
    low, high = mean_interval(splits["test"]["outcomes"])
    strongest = min(differences.items(), key=lambda pair: pair[1].difference)
    best, over = strongest[0], strongest[1]
    return {
        "evaluations": summary["evaluations"],
        "search": splits["search"]["score"],
        "validation": splits["validation"]["score"],
        "test": f"{splits['test']['score']:.3f} [{low:.3f}, {high:.3f}]",
        "strongest": f"{best} {over.difference:+.3f} [{over.low:+.3f}, {over.high:+.3f}]",
        "average": "{0.difference:+.3f} [{0.low:+.3f}, {0.high:+.3f}]".format(differences["uniform_average"]),
        "median_s": sorted(seconds)[len(seconds) // 2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--keep-cache", action="store_true", help="use the zoo of the usual cache")
    options = parser.parse_args()
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {time.strftime('%Y-%m-%d')}\n")
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "EVOLVE_RUNS": f"{scratch}/runs"}
        if not options.keep_cache:
            environment["EVOLVE_CACHE"] = f"{scratch}/cache"
            zoo_s = timed(["run", "jp_math", "--evaluations", "1", "--plain", "--name", "zoo"], environment)
            print(f"zoo, built from nothing, with a run of one evaluation: {zoo_s:.0f} s\n")
        print("| " + " | ".join(COLUMNS) + " |\n|" + "--:|" * len(COLUMNS))
        for seed in options.seeds:
            name = f"seed{seed}"
            arguments = ["run", "jp_math", "--seed", str(seed), "--evaluations", str(options.evaluations), "--plain"]
            run_s = timed([*arguments, "--name", name], environment)
            row = figures(Path(scratch) / "runs" / name)
            cells = [
                str(seed),
                f"{run_s:.0f}",
                f"{row['median_s']:.2f}",
                f"{row['search']:.3f}",
                f"{row['validation']:.3f}",
            ]
            print("| " + " | ".join([*cells, row["test"], row["average"], row["strongest"]]) + " |", flush=True)


if __name__ == "__main__":
    main()
