"""What a program costs the database, from 10^3 to 10^6 programs, beside the databases of ShinkaEvolve and OpenEvolve.

    python benchmarks/database.py                              all sizes and peers, half an hour, 14 GB of disk
    python benchmarks/database.py --sizes 1000 --peers         one size, no peers

A run of each size is made in bulk (``database_fill.py``) and kept in the folder. Then programs go through the real
classes of the loop (``database_path.py``), as in a program problem and as in a merge problem, whose plans and measures
of weights are stored as well, first with a cold page cache, then with indexes in memory as they are in a run that has
just grown to its size, in blocks that alternate between the sizes. Then the same rows are written by plain
sqlite3, in one transaction for each program. The peers come from the package index into environments of their own, are
filled through their own classes and measured in blocks that alternate with evolve's at the same sizes. Prints tables in
Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import database_fill as filling
import database_peers as peers
import database_texts as texts
import numpy as np
from database_floor import Floor
from database_path import Made, Way, made

from evolve.store.connection import file_of

BLOCK = 50
WARM_UP = 100
KINDS = {False: "program problem", True: "merge problem"}


@dataclass
class Figures:
    """Seconds of single programs."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    sampling_s: list[float] = field(default_factory=list)

    def take(self, other: Figures) -> None:
        self.wall_s += other.wall_s
        self.cpu_s += other.cpu_s
        self.sampling_s += other.sampling_s

    def row(self, name: str, programs: int) -> str:
        """A line of the table, in milliseconds."""
        cells = [
            f"{1000 * value:.2f}"
            for value in (
                statistics.median(self.wall_s), percentile(self.wall_s, 99),
                statistics.median(self.cpu_s), statistics.fmean(self.cpu_s),
            )
        ]  # fmt: skip
        sampling = f"{1000 * statistics.median(self.sampling_s):.2f}" if self.sampling_s else ""
        return "| " + " | ".join([f"{programs:,}", name, *cells, sampling]) + " |"


HEADER = """| programs | database | wall ms, median | wall ms, p99 | CPU ms, median | CPU ms, mean | of it sampling |
|--:|:--|--:|--:|--:|--:|--:|"""


def percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent))


def timed(act: Callable[[Made], float | None], programs: Sequence[Made]) -> Figures:
    """The seconds of ``act`` for each program."""
    found = Figures()
    for one in programs:
        wall, cpu = time.perf_counter(), time.process_time()
        sampling_s = act(one)
        found.cpu_s.append(time.process_time() - cpu)
        found.wall_s.append(time.perf_counter() - wall)
        if sampling_s is not None:
            found.sampling_s.append(sampling_s)
    return found


class Source:
    """New programs without end, none of which any database has seen."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._number = time.time_ns() // 1000

    def take(self, count: int, *, merge: bool) -> list[Made]:
        self._number += count
        return [made(self._number + place, self._rng, merge=merge) for place in range(count)]


def filled(folder: Path, programs: int) -> Path:
    """The kept run with so many programs, made now unless it is there."""
    run = folder / f"fill-{programs}"
    if not file_of(run).exists():
        start = time.perf_counter()
        filling.fill(run, programs)
        print(f"{run}: {programs:,} programs made in {time.perf_counter() - start:.0f} s", flush=True)
    return run


def forget(path: Path) -> None:
    """Drops the file from the page cache of the operating system, so that reads come from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def recall_indexes(connection: sqlite3.Connection) -> None:
    """Reads every index once, so that they are in the page cache as they are where they have just been written."""
    indexes = "SELECT m.tbl_name, m.name, m.sql, i.name FROM sqlite_schema m, pragma_index_info(m.name) i "
    indexes += "WHERE m.type = 'index' AND i.seqno = 0"
    for table, index, statement, column in connection.execute(indexes).fetchall():
        condition = (statement or "").partition(" WHERE ")[2] or f"{column} IS NOT NULL"
        connection.execute(f"SELECT count({column}) FROM {table} INDEXED BY {index} WHERE {condition}").fetchone()


def opened(run: Path) -> Way:
    """The run, read back with a cold cache."""
    forget(file_of(run))
    start = time.perf_counter()
    way = Way(run)
    print(f"{run}: opened, its archive read back from the disk, in {time.perf_counter() - start:.1f} s", flush=True)
    return way


def measure(runs: Mapping[int, Path], programs: int, source: Source) -> list[str]:
    """The lines of evolve and of plain sqlite3, in blocks that alternate between the sizes."""
    ways = {size: opened(run) for size, run in runs.items()}
    found: dict[tuple[str, int], Figures] = {}
    for size, way in ways.items():
        forget(file_of(runs[size]))
        found[f"evolve, {KINDS[False]}, cold page cache", size] = timed(way.program, source.take(programs, merge=False))
        recall_indexes(way.database.connection)
    for _ in range(0, programs, BLOCK):
        for merge, kind in KINDS.items():
            for size, way in ways.items():
                figures = found.setdefault((f"evolve, {kind}", size), Figures())
                figures.take(timed(way.program, source.take(BLOCK, merge=merge)))
    for way in ways.values():
        way.close()
    for merge, kind in KINDS.items():
        with ExitStack() as stack:
            floors = {size: stack.enter_context(Floor(run)) for size, run in runs.items()}
            for floor in floors.values():
                timed(floor.program, source.take(WARM_UP, merge=merge))
            for _ in range(0, programs, BLOCK):
                for size, floor in floors.items():
                    figures = found.setdefault((f"plain sqlite3, rows of a {kind}", size), Figures())
                    figures.take(timed(floor.program, source.take(BLOCK, merge=merge)))
    names = dict.fromkeys(name for name, _ in found)
    return [found[name, size].row(name, size) for name in names for size in runs]


def beside(folder: Path, sizes: Sequence[int], programs: int, limit_s: float, source: Source) -> list[str]:
    """The lines of the peers and of evolve in alternating blocks, at each size, or as far as a peer comes in time."""
    lines: list[str] = []
    with peers.started(folder) as running:
        for size in sizes:
            run = filled(folder, size)
            grown = {peer.name: peer.grow(size, limit_s) for peer in running}
            reached = {peer.name: peer.size for peer in running}
            way = Way(run)
            timed(way.program, source.take(WARM_UP, merge=False))
            ours, theirs = Figures(), {peer.name: Figures() for peer in running}
            for _ in range(0, programs, BLOCK):
                ours.take(timed(way.program, source.take(BLOCK, merge=False)))
                for peer in running:
                    reply = peer.add(BLOCK)
                    theirs[peer.name].take(Figures(reply["wall_s"], reply["cpu_s"]))
            way.close()
            lines.append(ours.row(f"evolve, {KINDS[False]}", size))
            lines += [figures.row(name, reached[name]) for name, figures in theirs.items()]
            running = [peer for peer in running if grown[peer.name]]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--peers", type=int, nargs="*", default=[1_000, 10_000], help="sizes to compare with peers at")
    parser.add_argument("--peer-limit-s", type=float, default=300.0, help="seconds that a peer may take to each size")
    parser.add_argument("--programs", type=int, default=500, help="programs that are measured in each line")
    parser.add_argument("--folder", type=Path, default=Path("runs/database-benchmark"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    source = Source(0)
    print(f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}, SQLite {sqlite3.sqlite_version}, ", end="")
    print(f"texts of {len(texts.source(10**6, [0.5] * texts.NUMBERS))} characters, {texts.ITEMS} items", flush=True)
    if options.sizes:
        lines = measure({size: filled(options.folder, size) for size in options.sizes}, options.programs, source)
        print("\n".join(["", HEADER, *lines]), flush=True)
    if options.peers:
        lines = beside(options.folder, options.peers, options.programs, options.peer_limit_s, source)
        print("\n".join(["", HEADER, *lines]), flush=True)


if __name__ == "__main__":
    main()
