"""A run whose evaluator, items or donors have changed: refused by name, or gone on with new scores."""

from __future__ import annotations

import shutil

import pytest

from evolve.store import queries


def change_evaluator(terminal, run):
    """Makes every score smaller in the run's own copy of the problem."""
    path = next((terminal.runs / run / "problem").glob("*/evaluate.py"))
    text = path.read_text()
    assert "score=1 / (1 + error)" in text
    path.write_text(text.replace("score=1 / (1 + error)", "score=1 / (2 + error)"))


def cells(terminal, run):
    with terminal.reading(run) as connection:
        return {row["cell"]: row["program_id"] for row in queries.cells(connection)}


def scores(terminal, run, split="search"):
    with terminal.reading(run) as connection:
        rows = connection.execute("SELECT proposal_id, score FROM evaluations WHERE split = ?", (split,)).fetchall()
    return {row["proposal_id"]: row["score"] for row in rows}


def test_a_changed_evaluator_is_refused_or_scores_the_elites_again(terminal):
    terminal.run("run", "program", "--evaluations", 20, "--name", "p")
    terminal.run("resume", "p", "--evaluations", 21)
    before, held = scores(terminal, "p"), cells(terminal, "p")
    winner = terminal.summary("p")["winner_id"]
    change_evaluator(terminal, "p")
    refused = terminal.run("resume", "p", "--evaluations", 40, status=1)
    assert "the evaluator changed" in refused.stderr
    assert "--accept-changes" in refused.stderr
    assert scores(terminal, "p") == before
    assert terminal.summary("p")["winner_id"] == winner

    done = terminal.run("resume", "p", "--evaluations", 60, "--accept-changes")
    assert "the evaluator changed: the elites are evaluated again" in done.stdout
    assert before.items() <= scores(terminal, "p", "search~1").items()
    after = scores(terminal, "p")
    assert not before.keys() & after.keys()
    assert max(after.values()) < 0.5 < max(before.values())
    with terminal.reading("p") as connection:
        rows = queries.programs(connection, order="oldest")
        # Every elite of before has a new score, through its own new row or a seed's.
        new = {row["source_digest"]: row["score"] for row in rows if row["id"] in after}
        for number in held.values():
            old = queries.program(connection, str(number))
            error = 1 / before[number] - 1
            assert new[old["source_digest"]] == pytest.approx(1 / (2 + error))
        baselines = queries.baselines(connection)
    assert [row["seed_name"] for row in baselines] == ["parabola"]
    assert baselines[0]["score"] < 0.5
    summary = terminal.summary("p")
    assert (summary["state"], summary["evaluations"]) == ("finished", 60)
    assert summary["winner_id"] in after
    assert set(cells(terminal, "p").values()) <= after.keys()
    # What has been accepted is no longer a change, and nothing is scored a third time.
    terminal.run("resume", "p", "--evaluations", 61)
    assert len(scores(terminal, "p")) == len(after) + 1


def test_changed_items_and_donors_are_named_and_refused_everywhere(terminal):
    terminal.run("run", "merge", "--evaluations", 3, "--name", "a", "--seed", 1)
    with terminal.reading("a") as connection:
        made = connection.execute("SELECT json_extract(config, '$.prepared') AS made FROM run").fetchone()["made"]
    own = terminal.folder / "own"
    shutil.copytree(made, own)
    path = terminal.folder / "merge" / "problem.toml"
    path.write_text(path.read_text().replace("{prepared}", str(own)))
    terminal.run("run", "merge", "--evaluations", 6, "--name", "m")
    before = scores(terminal, "m")

    shutil.rmtree(own / "first")
    shutil.copytree(own / "second", own / "first")
    lines = (own / "search.jsonl").read_text().splitlines(keepends=True)
    (own / "search.jsonl").write_text("".join(lines[1:]))
    commands = (("resume", "m", "--evaluations", 8), ("export", "best", "out", "--run", "m"), ("test", "best", "m"))
    for command in commands:
        refused = terminal.run(*command, status=1)
        assert "donor first, the items of search changed" in refused.stderr
    assert scores(terminal, "m") == before

    terminal.run("resume", "m", "--evaluations", 16, "--accept-changes")
    after = scores(terminal, "m")
    with terminal.reading("m") as connection:
        items = {row["items"] for row in queries.programs(connection) if row["id"] in after}
    assert items == {len(lines) - 1}
    assert scores(terminal, "m", "search~1") == before
    assert "nothing is wrong" in terminal.run("db", "check", "m").stdout
