"""A run's database with any number of programs, made in bulk: readers are tried on it and the benchmark measures on it.

    python benchmarks/database_fill.py runs/million --programs 1000000

The rows are those that the one writer would have written for a stopped run of problems/skills on four islands: archive
and islands are the real ones. Made up are texts, digests of normalised texts, outcomes and times. A million programs
take 11 GB.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import database_texts as texts
import numpy as np

from evolve.config import RunConfig
from evolve.loop import folder as folders
from evolve.packed import PackedProvenance, compress
from evolve.problem import load
from evolve.search.archive import AddStatus, Archive, Program
from evolve.search.features import FeatureAxis, cell_key
from evolve.search.islands import Islands
from evolve.store import rows
from evolve.store.connection import file_of
from evolve.store.database import Database
from evolve.store.encoding import sha256, to_json
from evolve.store.records import LlmCall, ProposalRequest, RunRecord

ISLANDS = 4
CHUNK = 1000
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
STEP_MS = 400
"""Between two proposals, so that a million take almost five days."""

SHARES = {"scored": 0.92, "duplicate": 0.03, "failed": 0.03, "rejected": 0.02}
MODEL_SHARE = 0.2
"""Proposals that a language model writes; the others come from the offline mutator and the numeric search."""

FINALISTS = 8
PROVENANCES = 64
"""Different measures of weights; they are not looked at one by one."""

_PRAGMAS = {"journal_mode": "OFF", "synchronous": "OFF", "foreign_keys": "OFF", "cache_size": -1_000_000}


class Population:
    """The search behind the rows: programs have a skill for each task, children differ a little from their parents."""

    def __init__(self, rng: np.random.Generator, config: RunConfig, programs: int) -> None:
        axes = [FeatureAxis(name, 0.0, 1.0, 12) for name in ("front", "back")]
        self.archive = Archive(axes, ISLANDS)
        self.islands = Islands(self.archive, config.search.migration_interval, config.search.stagnation_evaluations)
        self.rng = rng
        self.skills = np.full((programs + 1, len(texts.EXPERTS)), 0.3, dtype=np.float32)
        self.generations = np.zeros(programs + 1, dtype=np.int32)

    def parents(self, count: int) -> list[Program | None]:
        """A parent for each of the next children, their islands in turn; None before there are elites."""
        pools = [self.archive.elites(island) or self.archive.elites() for island in self.archive.islands]
        drawn = self.rng.random(count)
        return [
            pool[int(share * len(pool))] if (pool := pools[place % ISLANDS]) else None
            for place, share in enumerate(drawn)
        ]

    def outcomes(self, first: int, parents: list[Program | None]) -> np.ndarray:
        """Skills of the children ``first``, ... and what they answer right, (children, items)."""
        count = len(parents)
        origin = self.skills[[parent.id if parent else 0 for parent in parents]]
        changed = np.clip(origin + self.rng.normal(0.0, 0.06, origin.shape), 0.05, 0.93)
        self.skills[first : first + count] = changed
        share = np.repeat(changed, texts.ITEMS // len(texts.EXPERTS), axis=1)
        return self.rng.random((count, texts.ITEMS)) < share


class Times:
    """The written times of a proposal, in the order of its states."""

    def __init__(self, number: int) -> None:
        start = BEGAN + timedelta(milliseconds=number * STEP_MS)
        self.stamps = [_stamp(start + timedelta(milliseconds=after)) for after in (0, 90, 92, 95, 380)]


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Filler:
    """Makes the rows of all tables, chunk by chunk."""

    def __init__(self, connection: sqlite3.Connection, population: Population, seeds: list[str]) -> None:
        self._connection = connection
        self._population = population
        self._seeds = seeds
        self._evaluations = self._calls = 0
        self._best = -1.0
        self._winners: list[tuple[float, int]] = []
        self._known: list[tuple[int, str, str]] = []
        self._provenances = [PackedProvenance.of(texts.provenance(kind))._asdict() for kind in range(PROVENANCES)]
        self._pending: dict[str, list[dict[str, Any]]] = {}

    def chunk(self, first: int, count: int) -> None:
        """The proposals ``first``, ... ``first + count - 1``."""
        people = self._population
        parents = people.parents(count)
        answered = people.outcomes(first, parents)
        values = np.round(people.rng.uniform(-0.5, 1.5, (count, texts.NUMBERS)), 3).tolist()
        ends = people.rng.choice(list(SHARES), count, p=list(SHARES.values())).tolist()
        models = (people.rng.random(count) < MODEL_SHARE).tolist()
        for place in range(count):
            number = first + place
            seed = self._seeds[number - 1] if number <= len(self._seeds) else None
            parent = None if seed else parents[place]
            end = "scored" if seed or not self._known else ends[place]
            self._proposal(number, parent, place % ISLANDS, values[place], end, models[place] and not seed, seed)
            if end == "scored":
                self._evaluation(number, answered[place], parent, place % ISLANDS)
        self._flush()

    def _add(self, table: str, row: dict[str, Any]) -> None:
        self._pending.setdefault(table, []).append(row)

    def _flush(self) -> None:
        for table, pending in self._pending.items():
            if not pending:
                continue
            columns = ", ".join(pending[0])
            marks = ", ".join(f":{name}" for name in pending[0])
            self._connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", pending)
            pending.clear()

    def _proposal(
        self,
        number: int,
        parent: Program | None,
        island: int,
        values: list[float],
        end: str,
        model: bool,
        seed: str | None,
    ) -> None:
        people, proposed = self._population, Times(number).stamps
        if parent is not None:
            people.archive.begin_child(parent.id)
            people.generations[number] = people.generations[parent.id] + 1
        beside = self._inspirations(parent, island) if model else ()
        kind, who = ("seed", "problem") if seed else ("diff", "openai/model") if model else _OFFLINE[number % 3]
        request = ProposalRequest(
            island, int(people.generations[number]), kind, who, parent.id if parent else None, None, beside,
            f"seed {seed}" if seed else f"tune weights of {texts.EXPERTS[number % 4]} -> {values[:8]}", seed,
        )  # fmt: skip
        row = rows.of_request(request) | dict.fromkeys(_LATER) | {"id": number, "state": end, "cost_usd": 0.0}
        row |= {"proposed_at": proposed[0], "finished_at": proposed[4]}
        if model:
            row["cost_usd"] = self._call(number, parent, values)
        for position, program_id in enumerate(beside):
            self._add("inspirations", {"proposal_id": number, "position": position, "program_id": program_id})
        if end == "rejected":
            row |= {"reason": "patch", "message": "the SEARCH text of block 1 does not occur in the program"}
        elif end == "duplicate":
            original, row["text_digest"], row["source_digest"] = self._known[number % len(self._known)]
            row |= {"reason": "duplicate_source", "message": f"same program as #{original}", "duplicate_of": original}
        else:
            row |= self._text(number, values)
            row |= dict(zip(("traced_at", "queued_at", "evaluating_at"), proposed[1:4], strict=True))
            if end == "failed":
                row |= {"reason": "not_finite", "message": "the merged model gives logits that are NaN or infinite"}
            else:
                self._known.append((number, row["text_digest"], row["source_digest"]))
                del self._known[:-CHUNK]
        self._add("proposals", row)

    def _inspirations(self, parent: Program | None, island: int) -> tuple[int, ...]:
        pool = self._population.archive.elites(island)
        return tuple(one.id for one in pool[:4] if parent is None or one.id != parent.id)[:3]

    def _text(self, number: int, values: list[float]) -> dict[str, Any]:
        source, plan = texts.source(number, values), texts.plan(number, values)
        digests = {"text_digest": sha256(source), "source_digest": sha256(f"normalised {number}")}
        self._add("sources", {**digests, "source": source})
        digest = sha256(plan)
        self._add("plans", {"plan_digest": digest, "plan": compress(plan), "size_bytes": len(plan)})
        return {**digests, "plan_digest": digest, "knobs": to_json(texts.knobs(values))}

    def _call(self, number: int, parent: Program | None, values: list[float]) -> float:
        source = texts.source(parent.id if parent else 0, values)
        sent = texts.prompt(parent.id if parent else 0, parent.score if parent else 0.0, source)
        cost_usd = 0.0004 + 0.000001 * (number % 100)
        call = LlmCall("openai", "openai/model", sent, source[200:900], 1.5 + number % 7, 1100, 240, cost_usd)
        self._calls += 1
        made = {"id": self._calls, "proposal_id": number, "created": Times(number).stamps[1]}
        self._add("llm_calls", rows.of_call(call) | made)
        return cost_usd

    def _evaluation(self, number: int, answered: np.ndarray, parent: Program | None, island: int) -> None:
        people = self._population
        tasks = answered.reshape(len(texts.EXPERTS), -1).mean(1).tolist()
        score = sum(tasks) / 4
        row = self._row(number, "search", answered, score, tasks)
        program = Program(number, score, json.loads(row["features"]), island)
        status = people.archive.add(program)
        if status > AddStatus.NOT_ADDED and parent is not None:
            people.archive.child_archived(parent.id)
        self._add("evaluations", row)
        self._add("provenance", {"evaluation_id": row["id"], **self._provenances[number % PROVENANCES]})
        self._pending["proposals"][-1]["archive_status"] = status.word
        if score > self._best:
            gain = score - self._best if self._best >= 0 else 0.0
            self._event(number, "improvement", {"score": score, "gain": gain}, number)
            self._best = score
            self._winners.append((score, number))
        people.islands.record(island, score)
        if moves := people.islands.migrate(people.rng):
            self._event(number, "migration", {"programs": len(moves)})
        for renewed, arrived in people.islands.reseed(people.rng).items():
            self._event(number, "reseed", {"island": renewed, "programs": len(arrived)})

    def _row(self, number: int, split: str, answered: np.ndarray, score: float, tasks: list[float]) -> dict[str, Any]:
        features = {"front": (tasks[0] + tasks[1]) / 2, "back": (tasks[2] + tasks[3]) / 2}
        metrics = {"accuracy": score} | {f"accuracy_{n}": v for n, v in zip(texts.EXPERTS, tasks, strict=True)}
        self._evaluations += 1
        return {
            "id": self._evaluations, "proposal_id": number, "split": split, "score": score,
            "metrics": to_json(metrics), "features": to_json(features), "items": len(answered),
            "outcomes": b"b" + np.packbits(answered, bitorder="little").tobytes(),
            "feedback": texts.feedback(metrics), "seconds": 0.285,
            "phases": '{"evaluate": 0.25, "merge": 0.027, "provenance": 0.008}', "created": Times(number).stamps[4],
        }  # fmt: skip

    def _event(self, number: int, kind: str, data: dict[str, Any], about: int | None = None) -> None:
        row = {"created": Times(number).stamps[4], "kind": kind, "proposal_id": about, "data": to_json(data)}
        self._add("events", row)

    def finish(self, programs: int) -> None:
        """What a run has at its end: cells, finalists on the other splits, a winner."""
        people = self._population
        for island in people.archive.islands:
            for cell, one in people.archive.occupancy(island).items():
                held = {"island": island, "cell": cell_key(cell), "program_id": one.id, "score": one.score}
                self._add("cells", {**held, "updated": Times(one.id).stamps[4]})
        finalists = sorted(people.archive.elites(), key=lambda one: (-one.score, one.id))[:FINALISTS]
        for split, chosen in (("validation", finalists), ("test", finalists[:1])):
            for one in chosen:
                share = np.repeat(people.skills[one.id], texts.ITEMS // len(texts.EXPERTS))
                answered = people.rng.random(texts.ITEMS) < share
                tasks = answered.reshape(len(texts.EXPERTS), -1).mean(1).tolist()
                self._add("evaluations", self._row(one.id, split, answered, sum(tasks) / 4, tasks))
        self._flush()
        self._connection.execute("UPDATE run SET state = 'finished', winner_id = ?", (finalists[0].id,))


_OFFLINE = (("diff", "offline"), ("tune", "profiles"), ("cross", "offline"))
_LATER = (
    "reason", "message", "duplicate_of", "text_digest", "source_digest", "plan_digest", "knobs", "archive_status",
    "traced_at", "queued_at", "evaluating_at",
)  # fmt: skip


def fill(folder: Path, programs: int, seed: int = 0) -> Path:
    """Makes the run ``folder`` with so many proposals; returns the path of its database."""
    problem = load("skills", "tiny")
    config = replace(RunConfig(), seed=seed)
    config = replace(config, search=replace(config.search, islands=ISLANDS))
    settings = folders.settings(problem.kind, config, {}, None)
    record = RunRecord(
        folder.name, problem.name, problem.profile_name, problem.digest(), settings, seed, "0.1.0",
        created=_stamp(BEGAN),
    )  # fmt: skip
    Database.create(folder, record).close()
    folders.snapshot(problem, folder)
    connection = sqlite3.connect(file_of(folder), isolation_level=None)
    for name, value in _PRAGMAS.items():
        connection.execute(f"PRAGMA {name} = {value}")
    population = Population(np.random.default_rng(seed), config, programs)
    filler = Filler(connection, population, list(problem.seeds))
    connection.execute("BEGIN")
    for first, count in chunks(programs):
        filler.chunk(first, count)
    filler.finish(programs)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return file_of(folder)


def chunks(programs: int) -> Iterator[tuple[int, int]]:
    """First number and length of each chunk; the first ones are short, because elites of a chunk have no children."""
    first, length = 1, 50
    while first <= programs:
        count = min(length, programs - first + 1)
        yield first, count
        first, length = first + count, min(2 * length, CHUNK)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--programs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    path = fill(options.folder, options.programs, options.seed)
    size_gb = path.stat().st_size / 1e9
    print(f"{path}: {options.programs} programs, {size_gb:.2f} GB, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
