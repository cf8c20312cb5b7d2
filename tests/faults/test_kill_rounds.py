"""Processes of a run are killed at random instants; in the end it must be as if nothing had happened."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from evolve.evaluate.pool import WorkerPool
from evolve.features import FeatureAxis, cell_key, cell_of
from evolve.loop import start
from evolve.store import queries
from evolve.store.connection import as_dict

KINDS = ("loop", "worker", "server", "sandbox")
BLAMED = {"worker_died", "memory"}
"""How a program ends whose worker was killed twice, or whose own process was killed as by a lack of memory."""
OWN_FAULTS = {"runtime_error"}
"""How programs fail by themselves here: values that are not finite, words that the example forbids."""
KEPT = {"evolve.db", "evolve.db-wal", "evolve.db-shm", "lock", "problem", "workers"}


class Game:
    """One run, and somebody who kills its processes until its budget is used."""

    def __init__(self, terminal, family, rng, arguments, pause_s):
        self._terminal, self._family, self._rng, self._pause_s = terminal, family, rng, pause_s
        self._first = ["run", *arguments, "--name", "p", "--llm", "offline"]
        self.folder = terminal.runs / "p"
        self.kills = Counter()
        self.cut_off = 0
        self._scored = False

    def play(self, targets):
        """Kills one process of each kind that ``targets`` names, as long as the run lasts; then lets it end."""
        process = self._start()
        try:
            for kind in targets:
                process = self._strike(process, kind)
                if process is None:
                    return
            while process is not None:
                process.communicate(timeout=240)
                process = self._after(process)
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()

    def _strike(self, process, kind):
        """Waits a random while, then until there is such a process, and kills it; None when the run has ended."""
        moment = time.monotonic() + self._rng.uniform(0.0, self._pause_s)
        while process is not None:
            while process.poll() is None:
                ready = time.monotonic() >= moment and (kind in ("loop", "server") or self._any_scored())
                if ready and self._family(process.pid).kill(kind, self._rng):
                    self.kills[kind] += 1
                    if kind != "loop":
                        return process
                    process.communicate()
                    break
                time.sleep(0.002)
            struck = process.returncode == -9
            process = self._after(process)
            if struck:
                return process
        return None

    def _any_scored(self):
        """Whether the run has something to go on from: a seed that is killed time after time ends it."""
        if not self._scored and (self.folder / "evolve.db").exists():
            self._scored = bool(rows(self.folder, "SELECT 1 FROM evaluations LIMIT 1"))
        return self._scored

    def _after(self, process):
        """The process that goes on after one that ended; None when the run has ended."""
        out, err = process.communicate()
        assert "Traceback" not in err, err
        if process.returncode == 0:
            return None
        # a part that is killed while it starts ends the start in one line
        assert process.returncode == -9 or len(err.strip().splitlines()) == 1, (process.returncode, out, err)
        return self._start()

    def _start(self):
        if (self.folder / "evolve.db").exists():
            return self._terminal.start("resume", "p")
        if self.folder.exists():  # as the message says that a second start prints
            self.cut_off += 1
            shutil.rmtree(self.folder)
        return self._terminal.start(*self._first)


def rows(folder, query):
    connection = sqlite3.connect(folder / "evolve.db")
    connection.row_factory = as_dict
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def check_books(folder, evaluations, killed):
    """Nothing is lost, nothing counted twice: ids, ends, evaluations and cells."""
    assert rows(folder, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert rows(folder, "PRAGMA foreign_key_check") == []
    proposals = rows(folder, "SELECT * FROM proposals ORDER BY id")
    assert [row["id"] for row in proposals] == list(range(1, len(proposals) + 1))
    assert {row["state"] for row in proposals} <= {"scored", "failed", "duplicate", "rejected", "abandoned"}
    assert rows(folder, "SELECT state FROM run") == [{"state": "finished"}]
    scored = {row["id"] for row in proposals if row["state"] == "scored"}
    failed = [row for row in proposals if row["state"] == "failed" and row["evaluating_at"] is not None]
    assert len(scored) + len(failed) == evaluations
    done = rows(folder, "SELECT proposal_id, split FROM evaluations")
    assert len({(row["proposal_id"], row["split"]) for row in done}) == len(done)
    assert sorted(row["proposal_id"] for row in done if row["split"] == "search") == sorted(scored)
    texts = [row["source_digest"] for row in proposals if row["state"] in ("scored", "failed")]
    assert len(texts) == len(set(texts))
    blamed = Counter(row["reason"] for row in proposals if row["reason"] in BLAMED)
    assert 2 * blamed["memory"] <= killed["sandbox"], "a program whose process is killed gets another try"
    assert 2 * blamed["worker_died"] <= killed["worker"], "a program whose worker is killed gets another try"
    assert {row["reason"] for row in failed} <= BLAMED | OWN_FAULTS


def check_cells(folder, axes):
    """Each cell holds its best program."""
    best = {}
    for row in rows(folder, "SELECT features, score FROM programs WHERE state = 'scored'"):
        key = cell_key(cell_of(axes, json.loads(row["features"])))
        best[key] = max(best.get(key, row["score"]), row["score"])
    assert {row["cell"]: row["score"] for row in rows(folder, "SELECT cell, score FROM cells")} == best


def fresh_scores(folder, logs):
    """What every scored program scores on the search split with a new worker that nobody kills."""

    async def judged():
        intent = start.existing(folder)
        with queries.reading(folder) as connection:
            programs = [queries.program(connection, row["id"]) for row in scored(connection)]
            made = queries.summary(connection, folder)["config"]["prepared"]
        pool = WorkerPool(start.worker_setup(intent.problem, intent.config, made and Path(made)), 1, logs)
        try:
            await pool.start()
            found = {}
            for row in programs:
                work = {"plan": row["plan"]} if intent.problem.kind == "merge" else {"source": row["source"]}
                found[row["id"]] = (await pool.evaluate(work, "search")).evaluation.score
            return found
        finally:
            await pool.close()

    return asyncio.run(judged())


def scored(connection):
    return queries.programs(connection, state="scored", order="oldest")


def play_and_check(terminal, family, orphans, seed, *, targets, arguments, evaluations, pause_s):
    """One run with kills; all that must hold afterwards."""
    temporary = terminal.folder / "tmp"
    temporary.mkdir()
    terminal.environment["TMPDIR"] = str(temporary)
    rng = random.Random(seed)
    game = Game(terminal, family, rng, [*arguments, "--evaluations", evaluations], pause_s)
    game.play(rng.sample(targets, len(targets)))
    assert orphans() == {}, "processes outlive the run"
    check_books(game.folder, evaluations, game.kills)
    problem = start.existing(game.folder).problem
    axes = [FeatureAxis(name, axis.low, axis.high, axis.bins) for name, axis in problem.manifest.features.items()]
    check_cells(game.folder, axes)
    with queries.reading(game.folder) as connection:
        stored = {row["id"]: row["score"] for row in scored(connection)}
    assert fresh_scores(game.folder, terminal.folder / "logs") == stored
    assert {path.name for path in game.folder.iterdir()} <= KEPT
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")] == []
    return game.kills


def test_a_run_whose_processes_are_killed_ends_as_if_nothing_had_happened(terminal, slowed, family, orphans):
    slowed(0.05)
    killed = play_and_check(
        terminal,
        family,
        orphans,
        3,
        targets=2 * KINDS,
        arguments=["program", "--workers", 2],
        evaluations=24,
        pause_s=0.4,
    )
    assert set(killed) == set(KINDS)
    assert sum(killed.values()) >= 6


ROUNDS = 200


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("kind", "share"), [("program", 0.8), ("merge", 0.2)])
def test_many_rounds(tmp_path, cache, terminal, slowed, family, orphans, kind, share):
    """Runs of 8 kills each until there were so many."""
    if kind == "program":
        slowed(0.05)
    evaluations = 24 if kind == "program" else 14
    total, seed = Counter(), 100
    while sum(total.values()) < share * ROUNDS:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        shutil.copytree(terminal.folder / kind, folder / kind)
        arguments = [kind, "--workers", 1 + seed % 2, "--seed", seed]
        own = type(terminal)(folder, cache)
        total += play_and_check(
            own, family, orphans, seed, targets=2 * KINDS, arguments=arguments, evaluations=evaluations, pause_s=1.5
        )
        print(f"{kind}, round {seed - 100}: {dict(total)}", flush=True)
        shutil.rmtree(folder)
