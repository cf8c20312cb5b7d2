"""Racing, fresh items and the final choice on a real run of the merge example."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from evolve.cli.main import cli
from evolve.config import update
from evolve.evaluation import Evaluation
from evolve.loop.finale import chosen
from evolve.loop.folder import find
from evolve.loop.fresh import Freshener
from evolve.loop.racing import Racing
from evolve.loop.start import assembled, existing
from evolve.store import queries, standings
from evolve.store.database import Database
from evolve.store.records import ProposalRequest, RunRecord
from evolve.ui.comparison import chance_lines, comparison_lines
from evolve.ui.watch import PlainWatcher


def intent_of(terminal, name, **settings):
    intent = existing(find(name, terminal.runs))
    return replace(intent, config=update(intent.config, {"evaluation": {"workers": 1, **settings}}, "test"))


@pytest.fixture
def ran(terminal, monkeypatch):
    """A finished run of the merge example whose problem holds back fresh items."""
    path = terminal.folder / "merge" / "problem.toml"
    text = path.read_text().replace("search = ", 'fresh = "{prepared}/validation.jsonl"\nsearch = ', 1)
    path.write_text(text)
    terminal.run("run", "merge", "--evaluations", "6", "--name", "m", "--workers", "1")
    monkeypatch.setenv("EVOLVE_CACHE", terminal.environment["EVOLVE_CACHE"])
    return terminal


def test_racing_and_fresh_items_in_a_run(ran):
    async def body():
        intent = intent_of(ran, "m", racing=True, racing_batches=[0.125, 0.5], fresh_every=3)
        async with assembled(intent, PlainWatcher()) as parts:
            connection = parts.database.connection
            racing = Racing(parts)
            assert sorted(standings.racing_order(connection)) == list(range(40))
            assert Racing(parts).request() == racing.request()
            work = racing.request()
            assert work["race"]["rival"] == parts.archive.best().outcomes.tolist()
            assert (racing.request(whole=True)["race"]["rival"], work["race"]["looks"]) == (None, [5, 20, 40])
            weakest = min(queries.baselines(connection), key=lambda row: row["score"])["id"]
            plan = queries.program(connection, weakest)["plan"]
            hopeless = {**work["race"], "rival": [1.0] * 40}
            found = await parts.pool.evaluate({"plan": plan, "race": hopeless}, "search", 60)
            assert (found.stopped, found.items_total) == ("raced", 40)
            assert len(found.evaluation.outcomes) in (5, 20)
            plain = await parts.pool.evaluate({"plan": plan}, "search", 60)
            whole = await parts.pool.evaluate({"plan": plan, **racing.request(whole=True)}, "search", 60)
            assert whole.evaluation == plain.evaluation

            freshener = Freshener(parts)
            assert freshener.due(7) is None, "evaluations 6 and 7 lie in the same interval"
            number = freshener.due(9)
            assert number == parts.archive.best().id
            before = parts.archive.best().score
            await freshener.refresh(number)
            assert standings.verified(connection) == {number}
            now = standings.standing(connection, number)
            assert now == pytest.approx(standings.pooled(connection, number, ("search", "fresh")))
            assert now != before
            held = {row["program_id"]: row["score"] for row in queries.cells(connection)}
            assert held.get(number, now) == pytest.approx(now)
            assert freshener.due(9) is None
            assert freshener.due(12) != number
            assert Freshener(parts).due(12) != number
            again = {program.id: program.score for program in parts.database.contenders()}
            assert again[number] == pytest.approx(now)

    asyncio.run(body())
    report_and_diff(ran.runs / "m", CliRunner())


def test_who_lost_a_race_may_be_a_parent(ran):
    async def body():
        async with assembled(intent_of(ran, "m", racing=True), PlainWatcher()) as parts:
            racing, database, archive = Racing(parts), parts.database, parts.archive
            assert racing.request()["race"]["looks"] == [40], "40 prompts are one batch"
            order = standings.racing_order(database.connection)
            best, elites = archive.best(), archive.elites()
            taken = {archive.cell(elite) for elite in elites}
            axis = archive.axes[0]
            steps = (axis.low + (axis.high - axis.low) * (step + 0.5) / axis.bins for step in range(axis.bins))
            free = next(
                {**best.features, axis.name: x} for x in steps if (axis.bin_of(x), *archive.cell(best)[1:]) not in taken
            )
            number = database.begin_proposal(ProposalRequest(0, 1, "diff", "offline", parent_id=best.id))
            database.set_state(number, "evaluating")
            partial = Evaluation(0.25, {}, free, [1.0, 0.0, 1.0])
            database.add_evaluation(number, partial, stopped="raced", items_total=40, archive_status="not_added")
            assert archive.parents() == elites
            racing.request()
            assert [one.id for one in archive.parents() if one not in elites] == [number]
            lost = archive.find(number)
            assert (lost.score, [float(lost.outcomes[item]) for item in order[:3]]) == (0.25, [1.0, 0.0, 1.0])
            assert np.isnan(lost.outcomes).sum() == 37
            assert (archive.elites(), archive.best()) == (elites, best)

            with database.connection:
                database.connection.execute("UPDATE evaluations SET score = 0.9876 WHERE proposal_id = ?", (best.id,))
            assert Racing(parts).request() == {}, "a score that is no mean of outcomes"
            assert "race" in racing.request(), "it was one when it was looked at"

    asyncio.run(body())


def report_and_diff(folder, runner):
    with queries.reading(folder) as connection:
        summary = queries.summary(connection, folder)
        lines = "\n".join([*comparison_lines(folder, connection, summary), *chance_lines(connection)])
    for words in (
        "winner minus best donor (",
        "winner minus uniform average (average): ",
        "winner minus best baseline (",
        "McNemar p = ",
        "(40 test items)",
        "make it with `evolve run merge --profile tiny --strategy repeated --evaluations 6`",
        "elites on fresh items: 1, ",
    ):
        assert words in lines, lines
    arguments = ["diff", "1", "2", "m", "--runs", str(folder.parent)]
    shown = runner.invoke(cli, [*arguments, "--items"]).output
    assert "program 2 minus program 1 on the 40 items that both answered" in shown
    assert '"text": "' in shown
    rows = json.loads(runner.invoke(cli, [*arguments, "-f", "json"]).output)
    assert {row["change"] for row in rows} <= {"won", "lost"}
    lost = int(shown.split("negative flips (items lost): ")[1].split()[0])
    assert sum(row["change"] == "lost" for row in rows) == lost


@pytest.mark.slow
def test_nothing_happens_where_a_problem_holds_nothing_back(terminal, monkeypatch):
    terminal.run("run", "merge", "--evaluations", "4", "--name", "m", "--workers", "1")
    monkeypatch.setenv("EVOLVE_CACHE", terminal.environment["EVOLVE_CACHE"])

    async def body():
        async with assembled(intent_of(terminal, "m", fresh_every=1), PlainWatcher()) as parts:
            assert Freshener(parts).due(100) is None
            assert Racing(parts).request() == {}

    asyncio.run(body())


@pytest.fixture
def scored(tmp_path):
    """``scored(search, validation)`` stores a program with these outcomes and returns its number."""
    with Database.create(tmp_path / "r", RunRecord("r", "p", "tiny", {}, {}, 0, "0")) as database:

        def add(search, validation=None, score=None):
            number = database.begin_proposal(ProposalRequest(0, 0, "seed", "problem"))
            database.set_state(number, "evaluating")
            for split, outcomes in (("search", search), ("validation", validation)):
                if outcomes is not None:
                    mean = sum(outcomes) / len(outcomes) if score is None else score
                    database.add_evaluation(number, Evaluation(mean, {}, {}, outcomes), split=split)
            return number

        yield database.connection, add


def test_the_winner_has_the_best_mean_over_search_and_validation_items(scored):
    connection, add = scored
    steady = add([1.0] * 8 + [0.0] * 2, [1.0] * 6 + [0.0] * 4)
    lucky = add([1.0] * 5 + [0.0] * 5, [1.0] * 7 + [0.0] * 3)
    assert chosen(connection, [steady, lucky]) == steady
    failed = add([1.0] * 10)
    assert chosen(connection, [failed, steady, lucky]) == steady
    assert chosen(connection, [failed]) == failed
    twin = add([1.0] * 8 + [0.0] * 2, [1.0] * 6 + [0.0] * 4)
    assert chosen(connection, [twin, steady]) == twin


def test_scores_that_are_no_means_are_compared_on_the_validation_split_alone(scored):
    connection, add = scored
    first = add([1.0, 1.0], [0.0, 0.0], score=0.3)
    second = add([0.0, 0.0], [0.0, 0.0], score=0.9)
    assert chosen(connection, [first, second]) == second
