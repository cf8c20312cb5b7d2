"""One program's way through the real classes of the loop, without what is not the database's: writing it, running it.

Everything that ``evolve.loop.engine`` does for a program of a merge problem is done here in the same order: the choice
of parent, mate, inspirations and relatives, every state of its row, its call, text, plan, evaluation, cell and
provenance, the events, and what is read back to learn from it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import database_texts as texts
import numpy as np

from evolve.evaluation import Evaluation
from evolve.loop import folder as folders
from evolve.loop.archiving import Archiving
from evolve.loop.engine import told
from evolve.loop.lifecycle import Ticket
from evolve.loop.observer import Status
from evolve.loop.parts import Parts
from evolve.loop.start import archive_of
from evolve.loop.strategy import strategy_of
from evolve.packed import PackedProvenance
from evolve.propose.ensemble import Ensemble
from evolve.store.database import Database
from evolve.store.encoding import sha256
from evolve.store.records import LlmCall, ProposalRequest
from evolve.strategies.base import Ask


@dataclass(frozen=True)
class Made:
    """What comes from outside the database for one program, made before the clock starts.

    ``plan`` with its digest, knobs and provenance are None where the program is no merge.
    """

    source: str
    digest: str
    call: LlmCall
    evaluation: Evaluation
    plan: tuple[str, str] | None
    knobs: list[dict[str, Any]]
    provenance: PackedProvenance | None


def made(number: int, rng: np.random.Generator, *, merge: bool) -> Made:
    """Another program; ``number`` makes its texts one of their kind."""
    values = np.round(rng.uniform(-0.5, 1.5, texts.NUMBERS), 3).tolist()
    source = texts.source(number, values)
    skills = np.repeat(rng.uniform(0.4, 0.93, len(texts.EXPERTS)), texts.ITEMS // len(texts.EXPERTS))
    outcomes = (rng.random(texts.ITEMS) < skills).astype(float)
    tasks = outcomes.reshape(len(texts.EXPERTS), -1).mean(1).tolist()
    score = sum(tasks) / len(tasks)
    metrics = {"accuracy": score} | {f"accuracy_{name}": one for name, one in zip(texts.EXPERTS, tasks, strict=True)}
    features = {"front": (tasks[0] + tasks[1]) / 2, "back": (tasks[2] + tasks[3]) / 2}
    call = LlmCall("openai", "openai/model", texts.prompt(number, score, source), source[:700], 1.5, 1100, 240, 0.0004)
    evaluation = Evaluation(score, metrics, features, tuple(outcomes.tolist()), texts.feedback(metrics))
    digest, plan = sha256(f"normalised {number}"), texts.plan(number, values)
    if not merge:
        return Made(source, digest, call, evaluation, None, [], None)
    provenance = PackedProvenance.of(texts.provenance(number % 64))  # a worker packs what it measured
    return Made(source, digest, call, evaluation, (plan, sha256(plan)), texts.knobs(values), provenance)


class Way:
    """A run that is open, with the parts of the engine that meet the database."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder)
        run = self.database.run
        problem, config = folders.restore(folder, run.problem, run.profile, dict(run.config))
        # The numeric search draws no parents; here every program does.
        config = replace(config, search=replace(config.search, profiles=False))
        archive = archive_of(problem, config, self.database)
        donors = {name: {"layers": texts.PLACES} for name in ("base", *texts.EXPERTS)}
        self.parts = Parts(
            folder, problem, config, self.database, cast(Any, None), cast(Any, None), Ensemble.parse("offline"),
            archive, cast(Any, None), Status(), [], donors, {"search": texts.ITEMS},
        )  # fmt: skip
        self.strategy = strategy_of(self.parts)
        self.archiving = Archiving(self.parts)

    def program(self, one: Made) -> float:
        """Takes one program from the choice of its parent to what is learned from it; seconds that the choice took."""
        database, archive = self.database, self.parts.archive
        start = time.perf_counter()
        ask = self.strategy.ask(np.random.default_rng([self.parts.config.seed, database.counts().proposals + 1]))
        sampling_s = time.perf_counter() - start
        assert ask is not None, "an archive with elites has parents"
        ticket = self._begun(ask)
        database.add_llm_calls(ticket.id, [one.call])
        database.set_source(ticket.id, one.source, one.digest, "moves the weights of one expert", "diff")
        if one.plan is not None:
            database.set_traced(ticket.id, *one.plan, one.knobs)
        database.set_state(ticket.id, "queued")
        database.set_state(ticket.id, "evaluating")
        self._score(ticket, one)
        self.strategy.tell(told(database.attempt(ticket.id)))
        archive.filled()
        database.cost()
        return sampling_s

    def _begun(self, ask: Ask) -> Ticket:
        database = self.database
        assert ask.parent is not None, "only the numeric search asks for programs without one"
        generation = database.generation(ask.parent) + 1
        row = ProposalRequest(
            ask.island, generation, ask.patch, ask.arm, ask.parent, ask.mate, ask.inspirations, ask.description, None,
            ask.note,
        )  # fmt: skip
        number = database.begin_proposal(row)
        self.parts.archive.begin_child(ask.parent)
        return Ticket(0, number, ask)

    def _score(self, ticket: Ticket, one: Made) -> None:
        archive, evaluation = self.parts.archive, one.evaluation
        before = archive.best()
        status, cells = self.archiving.add(ticket, evaluation)
        self.database.add_evaluation(
            ticket.id, evaluation, seconds=0.28, phases={"evaluate": 0.25, "merge": 0.03}, archive_status=status,
            cells=cells, provenance=one.provenance,
        )  # fmt: skip
        if before is None or evaluation.score > before.score:
            gain = evaluation.score - before.score if before else 0.0
            self.database.add_event("improvement", {"score": evaluation.score, "gain": gain}, ticket.id)
        self.archiving.move(np.random.default_rng([self.parts.config.seed, -ticket.id % 2**32]))

    def close(self) -> None:
        self.database.close()
