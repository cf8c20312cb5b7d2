"""The writer: every method against a real file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.errors import DatabaseBusy, RunError
from evolve.evaluation import Evaluation
from evolve.store import loading, migrations
from evolve.store.connection import FILE_NAME
from evolve.store.database import Database
from evolve.store.records import Cell, Children, Contender, Cost, LlmCall, RunRecord


def test_a_new_run_reads_back_as_it_was_written(database: Database, run_record: RunRecord) -> None:
    stored = database.run
    assert stored == replace(run_record, created=stored.created)
    assert stored.created.endswith("Z")


def test_the_connection_is_durable_and_checked(database: Database, ask: Callable[..., int]) -> None:
    pragmas = {name: database.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in
               ("journal_mode", "synchronous", "foreign_keys")}  # fmt: skip
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}
    with pytest.raises(RunError, match="FOREIGN KEY"):
        ask(database, 99)


def test_creating_twice_is_refused_and_harmless(filled: Database, folder: Path, run_record: RunRecord) -> None:
    filled.close()
    with pytest.raises(RunError, match="already holds a run; continue it with `evolve resume`"):
        Database.create(folder, run_record)
    with Database.open(folder) as again:
        assert again.counts().proposals == 8


def test_an_interrupted_creation_leaves_nothing_in_the_way(folder: Path, run_record: RunRecord) -> None:
    folder.mkdir(parents=True)
    (folder / f"{FILE_NAME}.new").write_bytes(b"half a database")
    with Database.create(folder, run_record) as database:
        assert database.run.id == "r1"
    assert sorted(path.name for path in folder.iterdir()) == [FILE_NAME, "lock"]


def test_only_one_process_writes(database: Database, folder: Path, ask: Callable[..., int]) -> None:
    with pytest.raises(DatabaseBusy, match="run r1 is in use by process"):
        Database.open(folder)
    command = (
        f"from pathlib import Path; from evolve.store.database import Database; Database.open(Path({str(folder)!r}))"
    )
    other = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert "DatabaseBusy: run r1 is in use by process" in other.stderr
    assert ask(database) == 1


def test_a_closed_run_opens_again_with_its_totals(filled: Database, folder: Path) -> None:
    counts, cost = filled.counts(), filled.cost()
    filled.close()
    filled.close()
    with Database.open(folder) as again:
        assert again.counts() == counts
        assert again.cost() == cost


def test_the_life_of_a_proposal(filled: Database) -> None:
    program = filled.program(3)
    assert (program.state, program.score, program.source, program.parent_id) == ("scored", 0.9, "x = 3", 1)
    assert (program.description, program.feedback, program.outcomes) == ("adds one", "feedback 3", (1.0, 1.0, 0.0))
    assert (program.metrics, program.features) == ({"accuracy": 0.9}, {"length": 0.9})
    assert (program.patch, filled.program(8).patch) == ("full", "diff")
    assert filled.program(1).knobs == ({"name": "k", "value": 1},)
    failed = filled.program(5)
    assert (failed.state, failed.reason, failed.message, failed.line) == ("failed", "shape", "(2, 3) is not (3, 2)", 4)
    with pytest.raises(RunError, match="no program 77"):
        filled.program(77)


def test_a_duplicate_shows_the_evaluation_of_its_original(filled: Database) -> None:
    program = filled.program(4)
    assert (program.state, program.score, program.source) == ("duplicate", 0.9, "x  =  3")


def test_equal_digests_are_found_whatever_became_of_them(filled: Database, ask: Callable[..., int]) -> None:
    ask(filled)
    scored = filled.set_source(9, "x=3", "aaaa3")
    failed = filled.set_source(9, "x=5", "aaaa5")
    queued = filled.set_source(9, "x=8", "aaaa8")
    assert [(match.program_id, match.state) for match in (scored, failed, queued) if match] == [
        (3, "scored"), (5, "failed"), (8, "queued"),
    ]  # fmt: skip
    assert failed is not None
    assert (failed.reason, failed.message) == ("shape", "(2, 3) is not (3, 2)")
    assert scored is not None
    assert scored.score == 0.9
    assert filled.set_source(9, "x=9", "aaaa9") is None
    assert filled.set_source(9, "x=9", "aaaa9") is None
    plan = filled.set_traced(9, '{"plan":2}', "bbbb2")
    assert plan is not None
    assert plan.program_id == 2
    assert filled.find_plan("bbbb9") is None
    assert filled.find_source("aaaa9", 9) is None


def test_rejected_and_abandoned_texts_may_be_tried_again(database: Database, ask: Callable[..., int]) -> None:
    for number, state in ((1, "rejected"), (2, "abandoned")):
        ask(database)
        assert database.set_source(number, "x", "cccc") is None
        database.set_state(number, state, reason="why")  # type: ignore[arg-type]


def test_of_two_equal_texts_exactly_one_is_new(database: Database, ask: Callable[..., int]) -> None:
    ask(database), ask(database)
    assert database.set_source(2, "x", "dddd") is None
    match = database.set_source(1, "x", "dddd")
    assert match is not None
    assert (match.program_id, match.state) == (2, "proposed")


def test_duplicates_point_at_the_original_whoever_came_first(database: Database, ask: Callable[..., int]) -> None:
    for number, digest in ((1, "one"), (2, "two"), (3, "two"), (4, "two")):
        ask(database)
        database.set_source(number, digest, digest)
    database.set_state(3, "duplicate", reason="duplicate_source", duplicate_of=2)
    database.set_state(2, "duplicate", reason="duplicate_plan", duplicate_of=1)
    database.set_state(4, "duplicate", reason="duplicate_source", duplicate_of=2)
    rows = database.connection.execute("SELECT id, duplicate_of FROM proposals ORDER BY id").fetchall()
    assert rows == [(1, None), (2, 1), (3, 1), (4, 1)]
    match = database.find_source("two")
    assert match is not None
    assert match.program_id == 1


def test_texts_and_plans_are_stored_once(filled: Database, ask: Callable[..., int]) -> None:
    ask(filled)
    filled.set_source(9, "x = 1", "aaaa1")
    filled.set_traced(9, '{"plan": 1}', "bbbb1")
    assert filled.connection.execute("SELECT count(*) FROM sources WHERE source = 'x = 1'").fetchone() == (1,)
    assert filled.connection.execute("SELECT count(*) FROM plans WHERE plan_digest = 'bbbb1'").fetchone() == (1,)


def test_an_ended_proposal_stays_as_it_is(filled: Database) -> None:
    with pytest.raises(RunError, match="proposal 3 is already scored"):
        filled.set_state(3, "failed", reason="late")
    with pytest.raises(RunError, match="proposal 6 is already rejected"):
        filled.set_source(6, "x", "eeee")
    with pytest.raises(RunError, match="no proposal 99"):
        filled.set_state(99, "queued")
    with pytest.raises(RunError, match="through add_evaluation"):
        filled.set_state(8, "scored")
    with pytest.raises(RunError, match="already has an evaluation on split 'search'"):
        filled.add_evaluation(3, Evaluation(0.4))
    with pytest.raises(RunError, match="proposal 5 is already failed"):
        filled.add_evaluation(5, Evaluation(0.4))
    assert filled.program(3).score == 0.9


def test_a_refused_write_leaves_no_trace(filled: Database, ask: Callable[..., int]) -> None:
    before = list(filled.connection.iterdump())
    with pytest.raises(RunError):
        filled.add_evaluation(8, Evaluation(0.4), cells=[Cell(0, "7", 99, 0.4)])
    with pytest.raises(RunError):
        filled.set_state(8, "duplicate", reason="without an original")
    with pytest.raises(RunError):
        ask(filled, inspirations=(1, 99))
    assert list(filled.connection.iterdump()) == before
    assert filled.counts().by_state["queued"] == 1


def test_other_splits_leave_the_state_alone(filled: Database) -> None:
    filled.add_evaluation(3, Evaluation(0.7), split="validation", seconds=2.0, phases={"merge": 1.0})
    filled.add_evaluation(3, Evaluation(0.6), split="test")
    filled.set_winner(3)
    assert filled.run.winner_id == 3
    assert filled.counts().evaluations == 4
    with pytest.raises(RunError, match="split 'validation'"):
        filled.add_evaluation(3, Evaluation(0.7), split="validation")


def test_evaluations_are_used_by_scores_and_failures_while_evaluating(filled: Database, folder: Path) -> None:
    assert filled.counts().evaluations == 4
    filled.set_state(8, "evaluating")
    filled.set_state(8, "failed", reason="evaluator_error", message="boom")
    counts = filled.counts()
    assert counts.evaluations == 5
    assert counts.by_state == {"scored": 4, "duplicate": 1, "failed": 2, "rejected": 1}
    filled.close()
    with Database.open(folder) as again:
        assert again.counts() == counts


def test_costs_stay_unknown_rather_than_zero(filled: Database) -> None:
    assert filled.cost() == Cost(0.25, 2)
    rows = dict(filled.connection.execute("SELECT id, cost_usd FROM proposals").fetchall())
    assert (rows[3], rows[4], rows[6], rows[7]) == (0.25, None, 0.0, None)
    filled.add_llm_calls(3, [LlmCall("p", "m", "x", "y", 1.0, cost_usd=0.5)])
    filled.add_llm_calls(None, [LlmCall("p", "m", "x", "y", 1.0, cost_usd=1.0, purpose="insights")])
    assert filled.cost() == Cost(1.75, 2)
    assert filled.connection.execute("SELECT cost_usd FROM proposals WHERE id = 3").fetchone() == (0.75,)


def test_unfinished_proposals_come_back_whole(
    filled: Database, folder: Path, ask: Callable[..., int], score: Callable[..., None]
) -> None:
    ask(filled, 3, inspirations=(2, 7), mate_id=7, seed_name=None)
    filled.close()
    with Database.open(folder) as again:
        with_plan, without_source = again.unfinished()
        assert (with_plan.id, with_plan.state, with_plan.source, with_plan.plan_json) == (
            8,
            "queued",
            "x = 8",
            '{"plan": 8}',
        )
        assert (without_source.id, without_source.state, without_source.source) == (9, "proposed", None)
        assert without_source.request.inspirations == (2, 7)
        assert (without_source.request.parent_id, without_source.request.mate_id) == (3, 7)
        again.set_state(8, "evaluating")
        score(again, 8, 0.3)
        again.set_state(9, "abandoned", reason="interrupted")
        assert again.unfinished() == []


def test_children_count_what_was_asked_and_what_reached_the_archive(filled: Database) -> None:
    def children() -> dict[int, Children]:
        return {number: loading.children_of(filled.connection, number) for number in (1, 2, 3)}

    assert children() == {1: Children(2, 1), 2: Children(), 3: Children(4, 1)}
    filled.set_state(8, "abandoned", reason="interrupted")
    assert children()[3] == Children(3, 1)


def test_elites_follow_the_cells(filled: Database) -> None:
    assert [(elite.cell.island, elite.cell.key, elite.program.id) for elite in filled.elites()] == [
        (0, "1", 1), (0, "2", 3), (0, "0", 7),
    ]  # fmt: skip
    best = filled.elites()[1].program
    assert (best.score, best.island, best.features, best.outcomes) == (0.9, 0, {"length": 0.9}, (1.0, 1.0, 0.0))
    assert best.children == Children(4, 1)
    filled.put_cells([Cell(1, "2", 3, 0.9)])
    filled.replace_island(0, [Cell(0, "1", 1, 0.1)])
    assert [(elite.cell.island, elite.program.id) for elite in filled.elites()] == [(0, 1), (1, 3)]


def test_whoever_has_a_whole_score_contends_for_a_cell(filled: Database) -> None:
    assert list(filled.contenders()) == [
        Contender(1, 0, 0.1, {"length": 0.1}), Contender(2, 0, 0.2, {"length": 0.2}),
        Contender(3, 0, 0.9, {"length": 0.9}), Contender(7, 1, 0.5, {"length": 0.5}),
    ]  # fmt: skip
    third = filled.scored(3)
    assert (third.generation, third.parent_id, third.outcomes) == (1, 1, (1.0, 1.0, 0.0))
    assert third.children == Children(4, 1)
    for number in (5, 8, 99):
        with pytest.raises(RunError, match=f"program {number} has no whole evaluation"):
            filled.scored(number)


def test_generations_are_read_alone(filled: Database) -> None:
    assert [filled.generation(number) for number in (1, 3)] == [0, 1]
    with pytest.raises(RunError, match="no program 99"):
        filled.generation(99)


def test_attempts_tell_what_each_proposer_achieved(filled: Database) -> None:
    attempts = {attempt.id: attempt for attempt in filled.attempts()}
    assert sorted(attempts) == [1, 2, 3, 4, 5, 6, 7]
    third = attempts[3]
    assert (third.request.proposer, third.request.patch, third.state, third.archived) == ("big", "full", "scored", True)
    assert (third.score, third.parent_score, third.cost_usd) == (0.9, 0.1, 0.25)
    assert third.evaluated and third.whole
    assert third.outcomes == (1.0, 1.0, 0.0)
    assert filled.attempt(3) == third
    assert (attempts[4].state, attempts[4].score, attempts[4].evaluated) == ("duplicate", 0.9, False)
    assert not attempts[5].evaluated
    assert attempts[1].request.seed_name == "linear"


def test_an_attempt_is_told_once_it_has_ended(database: Database, ask: Callable[..., int]) -> None:
    number = ask(database, note={"point": [0.25, 1.0]})
    with pytest.raises(RunError, match="has not ended"):
        database.attempt(number)
    database.set_state(number, "rejected", reason="no_code")
    assert database.attempt(number).request.note == {"point": [0.25, 1.0]}
    assert not database.attempt(number).evaluated


def test_run_state_and_config_change(database: Database) -> None:
    database.set_run_state("finished")
    database.set_config({"seed": 2})
    assert (database.run.state, database.run.config) == ("finished", {"seed": 2})
    with pytest.raises(RunError, match="CHECK"):
        database.set_run_state("dreaming")  # type: ignore[arg-type]


def test_halves_of_surrogate_pairs_do_not_stop_a_run(database: Database, ask: Callable[..., int]) -> None:
    ask(database, description="\ud83d")
    database.add_llm_calls(1, [LlmCall("p", "m", "\ud83d", "a\udc00b", 1.0)])
    database.set_source(1, "x = '\ud83d'", "ffff")
    database.set_state(1, "failed", reason="syntax", message="\udc00")
    assert database.program(1).source == "x = '?'"


def test_a_newer_schema_is_refused_in_one_line(database: Database, folder: Path) -> None:
    database.connection.execute("PRAGMA user_version = 999")
    database.close()
    with pytest.raises(RunError, match=r"schema version 999, this evolve knows up to \d+; install a newer evolve"):
        Database.open(folder)


def test_an_older_schema_is_brought_up_to_date(folder: Path) -> None:
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / FILE_NAME)
    migrations.migrate(connection, migrations.shipped()[:1])
    connection.execute(
        "INSERT INTO run VALUES (1, 'old', 'p', 'x', 'maximize', '{}', '{}', 0, '0', '', 'running', NULL)"
    )
    connection.commit()
    connection.close()
    with Database.open(folder) as database:
        assert database.run.id == "old"
        assert database.counts().proposals == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no run at"), (b"hello world " * 100, "is not a database"), (b"", "of another program")],
)
def test_files_that_are_no_run_are_refused(
    folder: Path, content: bytes | None, message: str, run_record: RunRecord
) -> None:
    folder.mkdir(parents=True)
    if content is not None:
        (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(RunError, match=message):
        Database.open(folder)
    if content is not None:
        (folder / FILE_NAME).unlink()
        Database.create(folder, run_record).close()


def test_a_full_disk_is_one_line_and_loses_nothing(filled: Database, folder: Path) -> None:
    pages = filled.connection.execute("PRAGMA page_count").fetchone()[0]
    filled.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RunError, match=r"no space left on the disk of .*evolve.db; free some, then continue with"):
        filled.set_source(8, "x" * 10_000_000, "abcd")
    filled.close()
    with Database.open(folder) as again:
        assert again.program(8).source == "x = 8"
        assert again.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_file_is_one_line(filled: Database, folder: Path) -> None:
    filled.close()
    path = folder / FILE_NAME
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match="is damaged"):
        Database.open(folder)


def test_a_database_locked_by_another_tool_is_busy(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., int]
) -> None:
    database.connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(folder / FILE_NAME)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy, match="locked by another program"):
        ask(database)
    other.rollback()
    other.close()
    assert ask(database) == 1


def test_duplicate_checks_use_the_indexes(filled: Database) -> None:
    from evolve.store import loading

    for column in ("source_digest", "plan_digest"):
        plan = filled.connection.execute("EXPLAIN QUERY PLAN " + loading._MATCH.format(column=column), ("x", 1, 1))
        steps = [row[3] for row in plan]
        assert all(step.startswith("SEARCH") for step in steps), steps
    plan = filled.connection.execute("EXPLAIN QUERY PLAN " + loading._UNFINISHED)
    assert "proposals_unfinished" in " ".join(row[3] for row in plan)
