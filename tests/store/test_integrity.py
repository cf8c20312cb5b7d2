"""Every rule of `evolve db check`, broken one at a time."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from evolve.evaluation import Evaluation
from evolve.features import FeatureAxis, cell_key
from evolve.plan.plan import Plan
from evolve.search.digest import source_digest
from evolve.store import integrity, queries
from evolve.store.connection import FILE_NAME
from evolve.store.database import Database
from evolve.store.records import Cell, LlmCall, ProposalRequest, RunRecord

AXIS = FeatureAxis("length", 0.0, 1.0, 4)


def plan(weight):
    template = {
        "nodes": [["donor", [], {"name": "base"}], ["value", [], {"slot": 0}], ["mul", [0, 1], {}]],
        "output": 2,
    }
    site = {"name": "a", "shape": [2], "template": 0, "values": [weight], "gathers": []}
    return Plan.from_dict({"version": 2, "donors": ["base"], "templates": [template], "sites": [site], "stack": None})


class Writer:
    """Writes proposals as the loop does."""

    def __init__(self, folder):
        self.database = Database.create(folder, RunRecord("r", "p", "tiny", {}, {}, 7, "0.1"))

    def add(self, parent=None, *, generation=0, island=0, length=0.1, score=None, weight=None, takes=True, outcomes=(),
            seed=None, inspirations=()):  # fmt: skip
        request = ProposalRequest(island, generation, "diff", "o", parent, None, inspirations, "", seed)
        number = self.database.begin_proposal(request)
        text = f"x = {weight or number}\n"
        self.database.set_source(number, text, source_digest(text))
        if weight is not None:
            self.database.set_traced(number, plan(weight).to_json(), plan(weight).digest)
        if score is not None:
            self.database.set_state(number, "evaluating")
            cells = [Cell(island, cell_key((AXIS.bin_of(length),)), number, score)] if takes else []
            status = "new" if takes else "not_added"
            evaluation = Evaluation(score, {}, {"length": length}, outcomes)
            self.database.add_evaluation(number, evaluation, archive_status=status, cells=cells)
        return number


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """1: seed; 2: its better child; 3, 4: duplicates of 2 by text and by plan; 5: rejected; 6: lost a race; 7: child of
    2 on island 1 with fresh items; 8: beaten by 2 in its cell; 9: failed. The folder of the run."""
    folder = tmp_path_factory.mktemp("whole") / "r"
    writer = Writer(folder)
    database, add = writer.database, writer.add
    add(score=0.1, weight=0.5, outcomes=(0.0, 1.0, 0.0), seed="s")
    add(1, generation=1, score=0.5, weight=0.25, length=0.6, outcomes=(0.5, 0.25), inspirations=(1,))
    database.add_llm_calls(2, [LlmCall("o", "m", "p", "r", 1.0, cost_usd=0.25)])
    for reason in ("duplicate_source", "duplicate_plan"):
        database.set_state(add(1, generation=1, weight=0.25), "duplicate", reason=reason, duplicate_of=2)
    database.set_state(add(2, generation=2), "rejected", reason="stage")
    raced = add(2, generation=2)
    database.set_state(raced, "evaluating")
    database.add_evaluation(raced, Evaluation(0.9, {}, {"length": 0.6}, (1.0,)), stopped="raced", items_total=3)
    add(2, generation=2, island=1, score=0.75, length=0.9, outcomes=(1.0,) * 9)
    database.add_evaluation(7, Evaluation(0.25, {}, {}, (0.0,) * 9), split="fresh")
    database.put_cells([Cell(1, "3", 7, 0.5), Cell(1, "2", 2, 0.5)])
    add(2, generation=2, score=0.25, length=0.7, takes=False)
    database.set_state(add(8, generation=3), "failed", reason="shape")
    database.add_event("improvement", {}, 2)
    database.set_winner(2)
    database.close()
    return folder


@pytest.fixture
def run(whole, tmp_path):
    """A copy of that run."""
    return Path(shutil.copytree(whole, tmp_path / "r"))


def found(folder, axes=(AXIS,), **options):
    with queries.reading(folder) as connection:
        return [(one.rule, one.text) for one in integrity.violations(connection, axes, source_digest, **options)]


def change(folder, *statements):
    """Writes past every check that SQLite makes."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_run_as_the_writer_leaves_it_breaks_no_rule(run):
    assert found(run) == []
    assert found(run, quick=True) == []


NEW_DIGEST = (
    "UPDATE sources SET source_digest = '000' WHERE source = 'x = 8\n'; "
    "UPDATE proposals SET source_digest = '000' WHERE id = 8"
)
BROKEN = [
    (
        "references",
        "row 1 of events names a row of proposals that does not exist",
        "UPDATE events SET proposal_id = 99",
    ),
    ("numbers", "proposal 6 follows 4: rows between are lost", "DELETE FROM proposals WHERE id = 5"),
    (
        "states",
        "proposal 6 is scored without an evaluation on the split search",
        "DELETE FROM evaluations WHERE proposal_id = 6",
    ),
    (
        "states",
        "proposal 9 is failed but has an evaluation on the split test",
        "INSERT INTO evaluations SELECT 90, 9, 'test', 0, '{}', '{}', 0, NULL, '', 0, '{}', '2026', NULL, NULL",
    ),
    (
        "states",
        "proposal 5 is rejected but has archive status new",
        "UPDATE proposals SET archive_status = 'new' WHERE id = 5",
    ),
    ("states", "proposal 5 is the winner but not scored", "UPDATE run SET winner_id = 5"),
    (
        "duplicates",
        "proposal 3 repeats 1, whose digest of the text is another",
        "UPDATE proposals SET duplicate_of = 1 WHERE id = 3",
    ),
    (
        "duplicates",
        "proposal 4 repeats 1, whose digest of the plan is another",
        "UPDATE proposals SET duplicate_of = 1 WHERE id = 4",
    ),
    ("duplicates", "proposal 4 repeats 3, itself a duplicate", "UPDATE proposals SET duplicate_of = 3 WHERE id = 4"),
    ("origins", "proposal 5 is not newer than 9, which it comes from", "UPDATE proposals SET mate_id = 9 WHERE id = 5"),
    ("origins", "proposal 2 is not newer than 6, its inspiration", "UPDATE inspirations SET program_id = 6"),
    (
        "origins",
        "proposal 9 has generation 7, which its parent does not lead to",
        "UPDATE proposals SET generation = 7 WHERE id = 9",
    ),
    (
        "origins",
        "proposal 1 has generation 1, which its parent does not lead to",
        "UPDATE proposals SET generation = generation + 1",
    ),
    ("costs", "proposal 2 costs 0.5 but its calls say 0.25", "UPDATE proposals SET cost_usd = 0.5 WHERE id = 2"),
    ("costs", "proposal 2 costs 0.25 but its calls say that it is unknown", "UPDATE llm_calls SET cost_usd = NULL"),
    (
        "items",
        "proposal 2 has 2 outcomes of 3 items on the split search",
        "UPDATE evaluations SET items_total = 3 WHERE id = 2",
    ),
    (
        "items",
        "proposal 6 has 1 outcomes of 1 items on the split search and was raced",
        "UPDATE evaluations SET items_total = 1 WHERE proposal_id = 6",
    ),
    (
        "texts",
        "is not the one that its digest was made of",
        "UPDATE sources SET source = source || 'y' WHERE source = 'x = 5\n'",
    ),
    ("texts", "is not the program 000", NEW_DIGEST),
    (
        "texts",
        "proposal 8 has another digest of its program than its text",
        "UPDATE proposals SET source_digest = '0' WHERE id = 8",
    ),
    ("plans", "cannot be read: error", "UPDATE plans SET plan = x'00' WHERE rowid = 1"),
    ("plans", "bytes, not 1", "UPDATE plans SET size_bytes = 1 WHERE rowid = 1"),
    (
        "plans",
        f"has the digest {plan(0.25).digest[:12]}",
        "UPDATE plans SET (plan, size_bytes) = (SELECT plan, size_bytes FROM plans WHERE rowid = 2) WHERE rowid = 1",
    ),
    (
        "outcomes",
        "proposal 2 has 8 bytes, which is not the size of 2 outcomes",
        "UPDATE evaluations SET outcomes = substr(outcomes, 1, 8) WHERE id = 2",
    ),
    (
        "outcomes",
        "proposal 1 has outcomes for more than its 3 items",
        "UPDATE evaluations SET outcomes = x'62FF' WHERE id = 1",
    ),
    (
        "outcomes",
        "proposal 2 has outcomes outside 0..1 on the split search",
        "UPDATE evaluations SET outcomes = x'660000803F00008040' WHERE id = 2",
    ),
    ("outcomes", "proposal 1 has 2 bytes, which is not", "UPDATE evaluations SET outcomes = x'7A00' WHERE id = 1"),
    (
        "cells",
        "program 8 has no cell: the evaluation has no feature 'length'",
        "UPDATE evaluations SET features = '{}' WHERE proposal_id = 8",
    ),
    (
        "cells",
        "cell 0 of island 1 is held by program 6, which has no whole score",
        "INSERT INTO cells VALUES (1, '0', 6, 0.9, '2026')",
    ),
    (
        "cells",
        "cell 1 of island 1 is held by program 2, whose cell is 2",
        "INSERT INTO cells VALUES (1, '1', 2, 0.5, '2026')",
    ),
    (
        "cells",
        "cell 2 of island 0 has the score 0.4, its program 2 has 0.5",
        "UPDATE cells SET score = 0.4 WHERE island = 0 AND cell = '2'",
    ),
    (
        "cells",
        "cell 2 of island 0 is held by program 8 with 0.25, program 2 has 0.5",
        "UPDATE cells SET program_id = 8, score = 0.25 WHERE island = 0 AND cell = '2'",
    ),
    ("cells", "cell 0 of island 0 is empty, program 1 belongs there", "DELETE FROM cells WHERE cell = '0'"),
]


@pytest.mark.parametrize(("rule", "text", "statement"), BROKEN)
def test_each_rule_is_told_when_it_is_broken(run, rule, text, statement):
    change(run, *statement.split("; "))
    told = found(run)
    assert [(name, text in line) for name, line in told] == [(rule, True)], told


def test_a_damaged_file_is_told(run):
    with closing(sqlite3.connect(run / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'llm_calls_by_model'").fetchone()[0]
    with (run / FILE_NAME).open("r+b") as file:
        file.seek((page - 1) * 4096 + 100)
        file.write(bytes(4096 - 100))
    assert {rule for rule, _ in found(run)} == {"file"}


def test_quick_leaves_out_what_takes_long_only(run):
    change(run, *NEW_DIGEST.split("; "))
    assert found(run, quick=True) == []
    change(run, "UPDATE plans SET size_bytes = 1 WHERE rowid = 1")
    assert [rule for rule, _ in found(run, quick=True)] == ["plans"]


def test_without_the_problem_the_places_of_cells_are_not_looked_at(run):
    change(run, "DELETE FROM cells")
    assert found(run, axes=None) == []


def test_a_reseeded_island_may_lack_what_it_had(run):
    """What was born before an island was emptied has no claim on it, what was born later has."""
    change(
        run, "DELETE FROM cells WHERE island = 0",
        f"INSERT INTO events VALUES (90, '2999', 'reseed', NULL, '{json.dumps({'island': 0})}')",
    )  # fmt: skip
    assert found(run) == []
    change(run, "UPDATE events SET created = '2000' WHERE kind = 'reseed'")
    assert {rule for rule, _ in found(run)} == {"cells"}


def test_fresh_items_may_lower_a_holder_and_raise_nobody_unseen(run):
    """Program 7 scored 0.75 at first; between that and its standing of 0.5 either may stand in its cell."""
    change(run, "UPDATE cells SET score = 0.75 WHERE island = 1 AND cell = '3'")
    assert found(run) == []
    change(run, "UPDATE cells SET score = 0.6 WHERE island = 1 AND cell = '3'")
    assert [rule for rule, _ in found(run)] == ["cells"]
