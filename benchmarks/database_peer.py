"""One program's way through the database of a peer; runs in the peer's own environment, on orders from its input.

    python database_peer.py shinka FOLDER        then lines with a number of programs on stdin

Answers each line with one line of JSON: wall and CPU seconds of each of these programs, and how many there are now.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
import uuid
from pathlib import Path
from typing import Any, Protocol

import database_texts as texts

ISLANDS = 4


class Peer(Protocol):
    """A peer's database with programs in it."""

    def step(self, number: int, code: str, metrics: dict[str, float], feedback: str) -> None:
        """Samples a parent with inspirations and adds one child of it, as the peer's own loop does."""


class Shinka:
    """ShinkaEvolve, package shinka-evolve: ``ProgramDatabase.sample`` and ``add``."""

    def __init__(self, folder: Path) -> None:
        from shinka.database import DatabaseConfig, Program, ProgramDatabase

        self._program = Program
        # No embeddings, which need a service, and no printed summaries; as many islands as the others have.
        config = DatabaseConfig(db_path=str(folder / "shinka.sqlite"), num_islands=ISLANDS)
        self._database = ProgramDatabase(config, embedding_model="")
        self._database._print_sampling_summary_helper = lambda *_, **__: None

    def step(self, number: int, code: str, metrics: dict[str, float], feedback: str) -> None:
        parent, archived, top = (None, [], []) if number == 0 else self._database.sample(target_generation=number)
        self._database.add(
            self._program(
                id=str(uuid.uuid4()),
                code=code,
                parent_id=parent.id if parent else None,
                archive_inspiration_ids=[one.id for one in archived],
                top_k_inspiration_ids=[one.id for one in top],
                generation=number,
                code_diff=code[:700],
                combined_score=metrics["combined_score"],
                public_metrics=metrics,
                text_feedback=feedback,
                correct=True,
            )
        )


class OpenEvolve:
    """OpenEvolve, package openevolve: ``ProgramDatabase.sample_from_island``, ``add`` and its migrations."""

    def __init__(self, folder: Path) -> None:
        from openevolve.config import DatabaseConfig
        from openevolve.database import Program, ProgramDatabase

        self._program = Program
        # With a path every program is written when it is added; the default keeps them in memory until a checkpoint.
        self._database = ProgramDatabase(DatabaseConfig(db_path=str(folder), num_islands=ISLANDS))

    def step(self, number: int, code: str, metrics: dict[str, float], feedback: str) -> None:
        database, island = self._database, number % ISLANDS
        parent = database.sample_from_island(island)[0] if number else None
        child = self._program(
            id=str(uuid.uuid4()),
            code=code,
            changes_description=code[:700],
            parent_id=parent.id if parent else None,
            generation=parent.generation + 1 if parent else 0,
            metrics=metrics,
            metadata={"feedback": feedback},
        )
        database.add(child, iteration=number, target_island=island)
        database.increment_island_generation(island)
        if database.should_migrate():
            database.migrate_programs()


PEERS = {"shinka": Shinka, "openevolve": OpenEvolve}


def material(number: int, rng: random.Random) -> tuple[str, dict[str, float], str]:
    """Text, metrics and feedback of another program, of the same kind as in evolve's own measurement."""
    values = [round(rng.uniform(-0.5, 1.5), 3) for _ in range(texts.NUMBERS)]
    metrics: dict[str, float] = {name: round(rng.uniform(0.4, 0.93), 4) for name in texts.EXPERTS}
    metrics["combined_score"] = sum(metrics.values()) / len(metrics)
    return texts.source(number, values), metrics, texts.feedback(metrics)


def serve(peer: Peer, orders: Any, answers: Any) -> None:
    """Adds as many programs as each line asks for."""
    rng, size = random.Random(0), 0
    for line in orders:
        found: dict[str, Any] = {"wall_s": [], "cpu_s": []}
        for _ in range(int(line)):
            given = material(size, rng)
            wall, cpu = time.perf_counter(), time.process_time()
            peer.step(size, *given)
            found["cpu_s"].append(time.process_time() - cpu)
            found["wall_s"].append(time.perf_counter() - wall)
            size += 1
        print(json.dumps({**found, "size": size}), file=answers, flush=True)


def main() -> None:
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    serve(PEERS[sys.argv[1]](Path(sys.argv[2])), sys.stdin, answers)


if __name__ == "__main__":
    main()
