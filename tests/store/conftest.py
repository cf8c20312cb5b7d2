"""A run with two seeds, some children and every kind of end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evolve.evaluation import Evaluation
from evolve.store.database import Database
from evolve.store.records import Cell, LlmCall, ProposalRequest, RunRecord

RUN = RunRecord("r1", "jp_math", "tiny", {"evaluate.py": "ab"}, {"search": {"islands": 2}}, 7, "0.1.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "r1"


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    with Database.create(folder, RUN) as opened:
        yield opened


def _ask(database: Database, parent_id: int | None = None, **changes: object) -> int:
    values = {"island": 0, "generation": 1 if parent_id else 0, "patch": "diff", "proposer": "offline", **changes}
    return database.begin_proposal(ProposalRequest(parent_id=parent_id, **values))  # type: ignore[arg-type]


def _score(database: Database, number: int, value: float, outcomes: tuple[float, ...] = (), cell: str = "0") -> None:
    database.set_state(number, "evaluating")
    evaluation = Evaluation(value, {"accuracy": value}, {"length": value}, outcomes, f"feedback {number}")
    cells = [Cell(0, cell, number, value)]
    database.add_evaluation(number, evaluation, seconds=0.5, archive_status="new", cells=cells)


@pytest.fixture
def run_record() -> RunRecord:
    return RUN


@pytest.fixture
def ask() -> Callable[..., int]:
    """ask(database, parent_id=None, **fields of the request) -> id"""
    return _ask


@pytest.fixture
def score() -> Callable[..., None]:
    """score(database, id, value, outcomes=(), cell="0"): evaluates and scores a proposal."""
    return _score


@pytest.fixture
def filled(database: Database) -> Database:
    """1, 2: seeds; 3: child of 1, the best; 4: duplicate of 3; 5: failed; 6: rejected; 7: child of 3; 8: queued."""
    for number, name in enumerate(["linear", "ties"], start=1):
        _ask(database, patch="seed", proposer="problem", seed_name=name)
        database.set_source(number, f"x = {number}", f"aaaa{number}")
        database.set_traced(number, f'{{"plan": {number}}}', f"bbbb{number}", [{"name": "k", "value": number}])
        _score(database, number, 0.1 * number, (1.0, 0.0, 0.0), cell=str(number))
    _ask(database, 1, inspirations=(2, 1), mate_id=2, proposer="big")
    database.add_llm_calls(3, [LlmCall("openai", "big", "a prompt", "a reply", 1.5, 10, 20, 0.25)])
    database.set_source(3, "x = 3", "aaaa3", "adds one", "full")
    _score(database, 3, 0.9, (1.0, 1.0, 0.0), cell="2")
    _ask(database, 1, proposer="big")
    database.add_llm_calls(
        4, [LlmCall("openai", "big", "b", None, 1.0, error="timed out"), LlmCall("o", "m", "c", "d", 1)]
    )
    match = database.set_source(4, "x  =  3", "aaaa3")
    assert match is not None
    database.set_state(4, "duplicate", reason="duplicate_source", duplicate_of=match.program_id)
    _ask(database, 3)
    database.set_source(5, "x = 5", "aaaa5")
    database.set_state(5, "failed", reason="shape", message="(2, 3) is not (3, 2)", line=4)
    _ask(database, 3)
    database.add_llm_calls(6, [])
    database.set_state(6, "rejected", reason="patch", message="no match")
    _ask(database, 3, island=1)
    database.set_source(7, "x = 7", "aaaa7")
    _score(database, 7, 0.5, (0.5, 0.25, 0.1))
    _ask(database, 3)
    database.set_source(8, "x = 8", "aaaa8")
    database.set_traced(8, '{"plan": 8}', "bbbb8")
    database.set_state(8, "queued")
    database.add_event("improvement", {"score": 0.9}, 3)
    database.add_event("resume")
    return database
