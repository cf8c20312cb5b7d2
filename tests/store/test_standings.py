"""Partial evaluations are never taken for whole ones, and fresh items change what a program stands for."""

from __future__ import annotations

import pytest

from evolve.errors import RunError
from evolve.evaluation import Evaluation
from evolve.store import loading, queries, standings
from evolve.store.records import Cell


@pytest.fixture
def raced(filled):
    """Program 8 was ended early with a score above all others, on items 2 and 0 of three."""
    filled.set_state(8, "evaluating")
    filled.add_event("racing", {"order": [2, 0, 1]})
    evaluation = Evaluation(1.0, {}, {"length": 0.0}, (1.0, 1.0))
    filled.add_evaluation(8, evaluation, stopped="raced", items_total=3, archive_status="not_added")
    return filled


def names(connection, query):
    return [row[0] for row in connection.execute(query).fetchall()]


def test_a_partial_evaluation_leads_nowhere(raced):
    connection = raced.connection
    assert queries.best(connection)["id"] == 3
    assert queries.resolve(connection, "best") == 3
    assert 8 not in names(connection, "SELECT id FROM leaderboard")
    assert 8 not in names(connection, "SELECT proposal_id FROM improvements")
    assert 8 not in [program.id for program in raced.contenders()]
    assert 8 not in standings.best(connection, 10)
    assert queries.progress(connection)[-1]["best"] == 0.9
    assert [row["id"] for row in queries.programs(connection, state="scored")] == [3, 7, 2, 1, 8]
    assert queries.lineage(connection)[7]["gain"] is None
    shown = {row["proposer"]: row for row in queries.proposers(connection)}
    assert (shown["offline"]["raced"], shown["offline"]["best"], shown["offline"]["beat_parent"]) == (1, 0.5, 0)


def test_it_is_an_evaluation_all_the_same(raced, folder):
    connection = raced.connection
    assert len(queries.progress(connection)) == 5
    assert raced.counts().evaluations == queries.summary(connection, folder)["evaluations"] == 5
    told = raced.attempt(8)
    assert (told.score, told.whole, told.evaluated) == (1.0, False, True)
    assert standings.saved_items(connection) == (1, 1, 3)


def test_partial_outcomes_are_paired_by_the_racing_order(raced, folder):
    with queries.reading(folder) as connection:
        assert standings.answered(connection, 8) == {2: 1.0, 0: 1.0}
        assert standings.answered(connection, 3) == standings.answered(connection, 4) == {0: 1.0, 1: 1.0, 2: 0.0}
        assert standings.answered(connection, 5) == {}
        pair = standings.paired(standings.answered(connection, 8), standings.answered(connection, 3))
        assert pair == ([0, 2], [1.0, 1.0], [1.0, 0.0])


def test_who_lost_a_race_is_read_once_and_not_after_its_island_was_emptied(raced):
    connection = raced.connection
    (lost,) = standings.raced(connection, 0)
    assert (lost.program, lost.island, lost.score, lost.features) == (8, 0, 1.0, {"length": 0.0})
    assert (lost.children, lost.outcomes) == (0, (1.0, 1.0))
    assert list(standings.raced(connection, lost.evaluation)) == []
    raced.add_event("reseed", {"island": 1, "programs": 0})
    assert len(list(standings.raced(connection, 0))) == 1
    connection.execute("UPDATE events SET created = '2999', data = '{\"island\": 0}' WHERE kind = 'reseed'")
    assert list(standings.raced(connection, 0)) == []


def test_fresh_items_pull_a_lucky_program_down(raced):
    connection = raced.connection
    raced.add_evaluation(3, Evaluation(0.1, {}, {}, (0.0,) * 9), split="fresh")
    assert standings.standing(connection, 3) == pytest.approx((0.9 * 3 + 0.1 * 9) / 12)
    assert standings.standing(connection, 7) == 0.5
    assert standings.verified(connection) == {3}
    assert standings.drop(connection) == pytest.approx(0.8)
    assert standings.best(connection, 2) == [7, 3]
    assert queries.best(connection)["id"] == 7
    assert {program.id: program.score for program in raced.contenders()}[3] == pytest.approx(0.3)
    assert raced.scored(3).score == pytest.approx(0.3)
    assert [program.id for program in loading.scored_above(connection, 0.3)] == [3, 7]
    assert [program.id for program in raced.scored_above(0.9)] == []
    with pytest.raises(RunError, match="program 8 has no whole evaluation"):
        standings.standing(connection, 8)


def test_elites_come_with_the_items_their_standing_rests_on(raced):
    raced.put_cells([Cell(0, "5", 7, 0.5)])
    raced.add_evaluation(7, Evaluation(0.5, {}, {}, (0.5,) * 7), split="fresh")
    rows = {row.program: row for row in standings.elites(raced.connection)}
    assert rows[7] == (7, 0.5, 10, 0.3)
    assert rows[1] == (1, pytest.approx(0.1), 3, 1.0)
    assert standings.drop(raced.connection) == 0.0


def test_pooled_means_need_every_split(raced):
    connection = raced.connection
    assert standings.pooled(connection, 3, ("search", "validation")) is None
    raced.add_evaluation(3, Evaluation(0.0, {}, {}, (0.0, 0.0)), split="validation")
    assert standings.pooled(connection, 3, ("search", "validation")) == pytest.approx(2 / 5)
    assert standings.pooled(connection, 8, ("search",)) is None
