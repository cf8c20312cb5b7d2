"""What language models learn from, read from a database written as the loop writes it."""

from __future__ import annotations

from evolve.evaluation import Evaluation
from evolve.store import gains, learning
from evolve.store.database import Database

EPOCH = ""


def child(database, ask, score, parent, value, outcomes=(), **changes):
    number = ask(database, parent, **changes)
    database.set_source(number, f"x = {number}", f"dddd{number}", f"change {number}")
    score(database, number, value, outcomes)
    return number


def seed(database, ask, score, value, outcomes=()):
    number = ask(database, patch="seed", proposer="problem", seed_name="first")
    database.set_source(number, "x = 0", "dddd")
    score(database, number, value, outcomes)
    return number


def test_edits_are_ranked_by_what_they_did_to_the_parent_with_items(database, ask, score):
    first = seed(database, ask, score, 0.5, (1.0, 1.0, 0.0, 0.0))
    better = child(database, ask, score, first, 0.75, (1.0, 0.0, 1.0, 1.0))
    much = child(database, ask, score, first, 1.0, (1.0, 1.0, 1.0, 1.0))
    worse = child(database, ask, score, much, 0.25, (0.0, 0.0, 0.0, 1.0))
    same = child(database, ask, score, first, 0.5, (1.0, 1.0, 0.0, 0.0))
    best, worst = learning.edits(database.connection, EPOCH, 5, 5)
    assert [(edit.id, edit.parent, edit.gain, edit.won, edit.lost, edit.items) for edit in best] == [
        (much, first, 0.5, 2, 0, 4),
        (better, first, 0.25, 2, 1, 4),
    ]
    assert [(edit.id, edit.gain, edit.won, edit.lost) for edit in worst] == [(worse, -0.75, 0, 3)]
    assert best[0].description == f"change {much}"
    assert same not in {edit.id for edit in (*best, *worst)}
    assert [edit.id for edit in learning.edits(database.connection, EPOCH, 1, 0)[0]] == [much]


def test_numbers_ablations_and_raced_evaluations_are_no_edits(database, ask, score):
    first = seed(database, ask, score, 0.5)
    child(database, ask, score, first, 0.6, patch=gains.TUNING)
    child(database, ask, score, first, 0.4, patch="ablation")
    raced = ask(database, first)
    database.set_state(raced, "evaluating")
    database.add_evaluation(raced, Evaluation(0.9, {}, {}, (1.0,), ""), stopped="raced", items_total=9)
    child(database, ask, score, raced, 0.2)
    assert learning.edits(database.connection, EPOCH, 5, 5) == ([], [])


def test_only_what_ended_later_counts(database, ask, score):
    first = seed(database, ask, score, 0.5)
    early = child(database, ask, score, first, 0.6)
    database.set_state(ask(database, first), "failed", reason="shape", message="early")
    row = database.connection.execute("SELECT max(finished_at) FROM proposals").fetchone()
    late = child(database, ask, score, first, 0.7)
    # times have milliseconds: what follows at once is put a second later by hand
    database.connection.execute("UPDATE proposals SET finished_at = '9999' WHERE id = ?", (late,))
    database.connection.commit()
    assert [edit.id for edit in learning.edits(database.connection, row[0], 5, 5)[0]] == [late]
    assert learning.troubles(database.connection, row[0], 5) == []
    assert early != late


def test_troubles_are_counted_by_reason_with_the_newest_message(filled, ask):
    for message in ("older", "newer"):
        filled.set_state(ask(filled, 3), "failed", reason="timeout", message=message)
    filled.set_state(ask(filled, 3), "abandoned", reason="interrupted", message="m")
    found = learning.troubles(filled.connection, EPOCH, 9)
    assert [(one.reason, one.count, one.message) for one in found] == [
        ("timeout", 2, "newer"),
        ("duplicate_source", 1, ""),
        ("patch", 1, "no match"),
        ("shape", 1, "(2, 3) is not (3, 2)"),
    ]
    assert len(learning.troubles(filled.connection, EPOCH, 1)) == 1


def test_the_newest_scratchpad_survives_a_process(database, folder):
    assert learning.scratchpad(database.connection) is None
    database.add_scratchpad(25, "- first", "2026-01-01T00:00:00.000Z")
    database.add_scratchpad(50, "- second", "2026-01-02T00:00:00.000Z")
    database.close()
    with Database.open(folder) as again:
        assert learning.scratchpad(again.connection) == learning.Scratchpad(50, "- second", "2026-01-02T00:00:00.000Z")


def test_variants_their_uses_and_when_the_newest_was_made(database, ask, score):
    first = seed(database, ask, score, 0.5)
    assert learning.evaluations_at_newest_prompt(database.connection) == 0
    bold = database.add_prompt("be bold")
    brief = database.add_prompt("be brief", bold)
    database.retire_prompt(bold)
    assert learning.prompts(database.connection) == [
        learning.Prompt(bold, "be bold", True), learning.Prompt(brief, "be brief", False),
    ]  # fmt: skip
    assert learning.evaluations_at_newest_prompt(database.connection) == 1
    number = child(database, ask, score, first, 0.6, prompt_id=brief)
    database.set_state(ask(database, first, prompt_id=brief), "rejected", reason="patch", message="m")
    database.connection.execute("UPDATE proposals SET finished_at = '9999' WHERE id = ?", (number,))
    database.connection.commit()
    assert learning.evaluations_at_newest_prompt(database.connection) == 1
    assert learning.prompt_of(database.connection, number) == learning.Prompt(brief, "be brief", False)
    assert learning.prompt_of(database.connection, first) is None
    shown = gains.prompts(database.connection, gains.tallies(database.connection))
    row = shown[0]
    assert (row["prompt"], row["calls"], row["accepted_share"]) == (brief, 2, 0.5)
    assert abs(row["mean_gain"] - 0.05) < 1e-9
    unused = shown[1]
    assert (unused["prompt"], unused["mean_gain"], unused["accepted_share"]) == (bold, None, None)
