"""Elites of one run in another one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from evolve.errors import DatabaseBusy, RunError
from evolve.evaluation import Evaluation
from evolve.features import FeatureAxis
from evolve.packed import PackedProvenance
from evolve.store import gains, integrity, merging, queries, recall, standings
from evolve.store.connection import FILE_NAME
from evolve.store.database import Database
from evolve.store.records import Cell, ProposalRequest, RunRecord

AXIS = FeatureAxis("length", 0.0, 1.0, 4)
SETTINGS = {"config": {"search": {"islands": 2}, "evaluation": {"dtype": "auto"}}, "donors": {}, "prepared": None}
RECORD = RunRecord("r", "p", "tiny", {"evaluate.py": "a", "seeds/s.py": "b", "README.md": "c"}, SETTINGS, 7, "0.1")
PROVENANCE = {"base": "base", "model": {"norm": 1.0}, "places": []}


def digest(source):
    return f"digest of {source}"


class Run:
    """A run whose programs are ``x = <word>``."""

    def __init__(self, root, name, **changes):
        self.folder = root / name
        if not self.folder.exists():
            Database.create(self.folder, replace(RECORD, id=name, **changes)).close()

    def add(self, word, score, *, island=0, cell=1, takes=True, plan=None, fresh=None, **fields):
        with Database.open(self.folder) as database:
            request = ProposalRequest(island, 0, "diff", "offline", description=f"edit {word}", **fields)
            number = database.begin_proposal(request)
            database.add_llm_calls(number, [])
            database.set_source(number, f"x = {word}", digest(f"x = {word}"))
            if plan is not None:
                database.set_traced(number, json.dumps(plan), f"plan {plan}", [{"name": "k", "value": 1}])
            database.set_state(number, "evaluating")
            cells = [Cell(island, str(cell), number, score)] if takes else []
            database.add_evaluation(
                number, Evaluation(score, {"a": score}, {"length": cell / 4 + 0.1}, (score, 1.0)), seconds=2.0,
                archive_status="new" if takes else "not_added", cells=cells, provenance=PackedProvenance.of(PROVENANCE),
            )  # fmt: skip
            if fresh is not None:
                database.add_evaluation(number, Evaluation(fresh, {}, {}, (fresh, 1.0)), split="fresh")
                database.put_cells([Cell(island, str(cell), number, (score + fresh) / 2)])
            return number

    @property
    def cells(self):
        with queries.reading(self.folder) as connection:
            return {(row["island"], row["cell"]): row["program_id"] for row in queries.cells(connection)}

    def ask(self, question, *arguments):
        with queries.reading(self.folder) as connection:
            return question(connection, *arguments)

    def check(self):
        found = self.ask(lambda one: list(integrity.violations(one, [AXIS], digest, quick=True)))
        assert [line.text for line in found if line.rule != "texts"] == []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    target, other = Run(root, "target"), Run(root, "other")
    for run in (target, other):
        run.add("seed", 0.25, cell=1, seed_name="s")
    target.add("good", 0.5, cell=2)
    other.add("lost", 0.125, cell=1, takes=False)
    other.add("better", 0.75, cell=2, plan=3)
    other.add("far", 0.375, cell=3, island=1)
    return root


@pytest.fixture
def target(made, tmp_path):
    shutil.copytree(made / "target", tmp_path / "target")
    return Run(tmp_path, "target")


@pytest.fixture
def other(made, tmp_path):
    shutil.copytree(made / "other", tmp_path / "other")
    return Run(tmp_path, "other")


def test_elites_come_with_all_that_is_known_of_them(target, other):
    assert merging.merge_runs(target.folder, [other.folder]) == [merging.Imported("other", 2, 1, 2)]
    row = target.ask(queries.program, 3)
    with queries.reading(other.folder) as connection:
        origin = queries.program(connection, 3)
    for name in ("state", "source", "source_digest", "plan", "knobs", "score", "metrics", "features", "description"):
        assert row[name] == origin[name], name
    assert (row["patch"], row["proposer"], row["parent_id"], row["generation"]) == ("import", "import", None, 0)
    assert row["evaluations"][0]["outcomes"] == [0.75, 1.0]
    assert target.ask(queries.provenance, 3) == PROVENANCE
    note = target.ask(lambda one: json.loads(one.execute("SELECT note FROM proposals WHERE id = 3").fetchone()["note"]))
    assert note == {"run": "other", "program": 3, "generation": 0, "patch": "diff", "proposer": "offline"}
    assert target.ask(queries.events, "import")[0]["data"] == {
        "run": "other",
        "programs": 2,
        "duplicates": 1,
        "cells": 2,
    }
    target.check()


def test_cells_go_to_the_better_program_and_stay_with_the_older_one_of_equals(target, other):
    other.add("equal", 0.25, cell=1, island=0)
    merging.merge_runs(target.folder, [other.folder])
    assert target.cells == {(0, "1"): 1, (0, "2"): 3, (1, "3"): 4}
    rows = {row["description"]: row["archive_status"] for row in target.ask(queries.programs)}
    assert rows == {
        "edit seed": "new", "edit good": "new", "edit better": "improve_existing", "edit far": "new",
        "edit equal": "not_added",
    }  # fmt: skip
    with Database.open(target.folder) as database:
        assert {elite.cell.key: elite.program.id for elite in database.elites()} == {"1": 1, "2": 3, "3": 4}
    target.check()


def test_what_is_known_by_text_or_plan_is_left_out(target, other):
    target.add("same plan", 0.5, cell=2, takes=False, plan=3)
    assert merging.merge_runs(target.folder, [other.folder]) == [merging.Imported("other", 1, 2, 1)]
    assert merging.merge_runs(target.folder, [other.folder]) == [merging.Imported("other", 0, 3, 0)]


def test_an_import_uses_no_evaluation_and_no_money(target, other):
    before = target.ask(queries.summary, target.folder)
    merging.merge_runs(target.folder, [other.folder])
    after = target.ask(queries.summary, target.folder)
    assert (before["evaluations"], after["evaluations"], after["proposals"]) == (2, 2, 4)
    with Database.open(target.folder) as database:
        assert database.counts().evaluations == 2
        assert [one.evaluated for one in database.attempts()] == [True, True, False, False]
        number = database.begin_proposal(ProposalRequest(0, 1, "diff", "offline", 3))
        database.set_state(number, "evaluating")
        database.add_evaluation(number, Evaluation(1.0))
        assert database.counts().evaluations == 3
    assert target.ask(lambda one: sum(row["evaluations"] for row in gains.arms(gains.tallies(one)))) == 2


def test_an_import_does_not_make_an_island_look_barren(target, other):
    """Programs without success count towards a new start of their island; imports are nobody's failure."""
    target.add("top", 0.95, cell=2)
    merging.merge_runs(target.folder, [other.folder])
    assert target.ask(recall.fruitless) == {0: 0, 1: 0}
    target.add("evaluated here", 0.1, cell=2, takes=False)
    assert target.ask(recall.fruitless)[0] == 1


def test_progress_counts_evaluations_and_an_import_may_raise_the_best(target, other):
    merging.merge_runs(target.folder, [other.folder])
    target.add("last", 0.6, cell=2, takes=False)
    curve = target.ask(queries.progress)
    assert [(row["evaluation"], row["best"]) for row in curve] == [(1, 0.25), (2, 0.5), (2, 0.75), (2, 0.75), (3, 0.75)]
    assert [row["patch"] for row in target.ask(queries.improvements)] == ["diff", "diff", "import"]
    tallied = target.ask(gains.tallies)
    assert target.ask(gains.sides, tallied)[0]["raised_best"] == 0.25, "the import is nobody's merit"


def test_a_program_with_fresh_items_stands_where_both_put_it(target, other):
    other.add("fresh", 1.0, cell=2, island=1, fresh=0.25)
    merging.merge_runs(target.folder, [other.folder])
    assert target.cells[1, "2"] == 4
    assert target.ask(standings.standing, 4) == 0.625
    target.check()


def test_sealed_splits_stay_behind(target, other):
    with Database.open(other.folder) as database:
        for split in ("validation", "test", "held_out"):
            database.add_evaluation(3, Evaluation(0.5), split=split)
    merging.merge_runs(target.folder, [other.folder])
    assert [row["split"] for row in target.ask(queries.evaluations, 3)] == ["search", "validation"]


def test_an_island_that_the_target_lacks_is_folded_onto_those_it_has(target, other):
    other.add("seventh", 0.9, cell=0, island=7)
    merging.merge_runs(target.folder, [other.folder])
    assert (1, "0") in target.cells


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"problem": "q"}, "problem differ"),
        ({"profile": "large"}, "profile differ"),
        ({"direction": "minimize"}, "direction differ"),
        ({"digests": {"evaluate.py": "z", "items.jsonl": "z"}}, "evaluate.py, items.jsonl differ"),
        ({"config": {**SETTINGS, "donors": {"base": "elsewhere"}}}, "donors differ"),
        ({"config": {**SETTINGS, "prepared": "/cache/p/tiny-1234"}}, "prepared data differ"),
        ({"config": {**SETTINGS, "config": {"evaluation": {"dtype": "float32"}}}}, "evaluation.dtype differ"),
        ({"digests": {"evaluate.py": "a", **{f"{n}.jsonl": "a" for n in range(9)}}}, "5.jsonl and 3 more differ"),
    ],
)
def test_a_run_that_was_scored_otherwise_is_refused_whole(target, other, tmp_path, changes, named):
    odd = Run(tmp_path, "odd", **changes)
    with pytest.raises(RunError, match=named) as refused:
        merging.merge_runs(target.folder, [other.folder, odd.folder])
    assert "\n" not in str(refused.value)
    assert target.ask(queries.summary, target.folder)["proposals"] == 2, "all or nothing"
    assert target.ask(queries.events, "import") == []


def test_what_no_score_depends_on_may_differ(target, tmp_path):
    digests = {"evaluate.py": "a", "seeds/t.py": "z", "README.md": "z", "task.md": "z"}
    odd = Run(tmp_path, "odd", digests=digests, seed=8, version="0.2")
    odd.add("new", 0.5)
    assert merging.merge_runs(target.folder, [odd.folder])[0].programs == 1


def test_a_running_target_itself_and_older_schemas_are_refused(target, other):
    with pytest.raises(RunError, match="is the run to import into"):
        merging.merge_runs(target.folder, [other.folder, target.folder])
    with Database.open(target.folder), pytest.raises(DatabaseBusy, match="in use by process"):
        merging.merge_runs(target.folder, [other.folder])
    with Database.open(other.folder):
        assert merging.merge_runs(target.folder, [other.folder])[0].programs == 2, "a source may go on meanwhile"
    with closing(sqlite3.connect(other.folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 4")
    with pytest.raises(RunError, match="has schema version 4"):
        merging.merge_runs(target.folder, [other.folder])


def test_donors_with_other_content_are_refused(target, other):
    for run, content in ((target, "1"), (other, "2")):
        with Database.open(run.folder) as database:
            database.note_inputs({"donor ja": content, "the evaluator": "same"})
    with pytest.raises(RunError, match=r": donor ja differ; "):
        merging.merge_runs(target.folder, [other.folder])
