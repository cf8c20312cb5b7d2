"""How long the commands that read a run take, from the start of the process to its end, while another process writes.

    python benchmarks/database_fill.py runs/fill --programs 100000
    python benchmarks/commands.py runs/fill

The writer adds a scored program to the run every ten milliseconds. CPU time is told beside the wall's, because that
depends on what else the machine does; the first line is a process that only parses its arguments.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from evolve.evaluation import Evaluation
from evolve.search.digest import source_digest
from evolve.store import queries
from evolve.store.database import Database
from evolve.store.records import ProposalRequest

ROUNDS = 5
PAUSE_S = 0.01
COMMANDS = (
    "--version",
    "ls",
    "ls {run}",
    "ls {run} --state failed",
    "ls {run} --order newest",
    "show best {run}",
    "show {old} {run}",
    "lineage best {run}",
    "lineage {old} {run}",
    "best {run}",
    "diff {old} best {run}",
    "archive {run}",
    "archive {run} --island 0",
    "stats {run}",
)


def write(folder: Path) -> None:
    """Adds children of the run's programs in turn, all of which lose a race, until the process is killed."""
    with Database.open(folder) as database:
        rows = queries.programs(database.connection, limit=1000, state="scored")
        for row in itertools.cycle(rows):
            request = ProposalRequest(row["island"], row["generation"] + 1, "diff", "writer", row["id"])
            number = database.begin_proposal(request)
            known = database.program(row["id"])
            source = f"{known.source}\nNEW = {number}"
            database.set_source(number, source, source_digest(source))
            database.set_state(number, "evaluating")
            answered = len(known.outcomes) // 2
            evaluation = Evaluation(row["score"], row["metrics"], row["features"], known.outcomes[:answered])
            database.add_evaluation(
                number, evaluation, seconds=PAUSE_S, archive_status="not_added", stopped="raced",
                items_total=len(known.outcomes),
            )  # fmt: skip
            time.sleep(PAUSE_S)


def measure(arguments: list[str]) -> tuple[list[float], list[float]]:
    """Wall and CPU milliseconds of each of some runs of a command."""
    wall, cpu = [], []
    for _ in range(ROUNDS):
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, "-m", "evolve", *arguments], check=True, stdout=subprocess.DEVNULL)
        wall.append(1000 * (time.perf_counter() - began))
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        cpu.append(1000 * used)
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("run", type=Path, help="folder of a run, which gets more programs")
    parser.add_argument("--idle", action="store_true", help="without a writer")
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.write:
        write(told.run)
        return
    os.environ["EVOLVE_RUNS"] = str(told.run.parent)
    with queries.reading(told.run) as connection:
        old = queries.summary(connection, told.run)["proposals"] // 2
    command = [sys.executable, __file__, str(told.run), "--write"]
    writer = None if told.idle else subprocess.Popen(command)
    try:
        print(f"{'command':<28} {'wall ms: best':>14} {'median':>7} {'CPU ms: best':>13} {'median':>7}")
        for line in COMMANDS:
            wall, cpu = measure(line.format(run=told.run.name, old=old).split())
            name = line.format(run="RUN", old=old)
            figures = (
                f"{min(wall):>14.0f} {statistics.median(wall):>7.0f} {min(cpu):>13.0f} {statistics.median(cpu):>7.0f}"
            )
            print(f"{name:<28} {figures}", flush=True)
    finally:
        if writer is not None:
            assert writer.poll() is None, "the writer must be there until the end"
            writer.kill()
            writer.wait()


if __name__ == "__main__":
    main()
