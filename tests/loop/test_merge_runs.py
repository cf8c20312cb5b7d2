"""A real run that goes on with elites of another one, and what a user reads of it."""

from __future__ import annotations

import json

from click.testing import CliRunner

from evolve.cli.main import cli
from evolve.evaluation import Evaluation
from evolve.features import FeatureAxis, cell_key, cell_of
from evolve.problem import load
from evolve.search.digest import source_digest
from evolve.store import queries
from evolve.store.database import Database
from evolve.store.records import Cell, ProposalRequest, RunRecord


def another_run(terminal):
    """A run `b` of the same problem with one program, the best one of `a` with another comment and a higher score."""
    with terminal.reading("a") as connection:
        run = queries.record(connection, terminal.runs / "a")
        best = queries.program(connection, "best")
    kept = ("problem", "profile", "digests", "config", "seed", "version", "direction")
    source = best["source"] + "\n\nUNUSED = 1\n"
    axes = load(str(terminal.folder / "program")).manifest.features.items()
    cell = cell_of([FeatureAxis(name, one.low, one.high, one.bins) for name, one in axes], best["features"])
    with Database.create(terminal.runs / "b", RunRecord("b", **{name: run[name] for name in kept})) as database:
        number = database.begin_proposal(ProposalRequest(0, 0, "diff", "offline"))
        database.set_source(number, source, source_digest(source))
        database.set_state(number, "evaluating")
        score = best["score"] + 1.0
        evaluation = Evaluation(score, best["metrics"], best["features"], best["evaluations"][0]["outcomes"])
        database.add_evaluation(number, evaluation, cells=[Cell(0, cell_key(cell), number, score)])


def test_a_run_goes_on_with_the_elites_of_another_one(terminal):
    def read(*arguments, status=0):
        done = CliRunner().invoke(cli, [*map(str, arguments), "--runs", str(terminal.runs)])
        assert done.exit_code == status, done.output
        return done.output + str(done.exception or "")

    terminal.run("run", "program", "--evaluations", "8", "--seed", "1", "--workers", "1", "--name", "a")
    another_run(terminal)
    told = read("merge-runs", "a", "b")
    assert "run a counts no evaluation of its budget for them" in told
    assert "b: 1 programs imported" in told
    summary = terminal.summary("a")
    assert (summary["evaluations"], summary["states"]["scored"]) == (8, 9)
    terminal.run("resume", "a", "--evaluations", "12", "--workers", "1")
    summary = terminal.summary("a")
    assert (summary["evaluations"], summary["states"]["scored"]) == (12, 13)
    assert read("db", "check", "a") == "run a: nothing is wrong\n"

    rows = json.loads(read("ls", "a", "-f", "json", "-n", "0"))
    [imported] = [row["id"] for row in rows if row["patch"] == "import"]
    assert imported in {row["parent_id"] for row in rows}
    archive = json.loads(read("archive", "a", "-f", "json"))
    scores = {row["id"]: row["score"] for row in rows}
    assert archive["elites"]
    assert all(one["score"] == scores[one["program"]] for one in archive["elites"])
    assert archive["best_program"] == rows[0]["id"]
    assert f"coverage {archive['coverage']:.1%}" in read("archive", "a")

    children = [row["id"] for row in rows if row["parent_id"] is not None]
    assert "->" in read("lineage", children[-1], "a", "--dot")
    assert f"*#{rows[0]['id']}  {rows[0]['score']:.6g}" in read("lineage", "best", "a")
