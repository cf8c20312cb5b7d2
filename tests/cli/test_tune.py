"""``evolve tune``: real tunings of the example problems, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest

from evolve.cli.main import cli
from evolve.cli.new import SCAFFOLDS
from evolve.errors import EvolveError
from evolve.propose.mutator.literals import knob_values
from evolve.store import queries


@pytest.fixture
def problem(tmp_path):
    shutil.copytree(SCAFFOLDS / "program", tmp_path / "sine", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(tmp_path / "sine" / "seeds" / "parabola.py", tmp_path / "mine.py")
    return tmp_path / "sine"


def test_a_file_is_tuned_in_a_run_of_its_own_and_can_be_tuned_further(evolve, problem, tmp_path):
    options = ("--problem", "sine", "--evaluations", "24", "--workers", "1", "--name", "t", "--plain")
    done = evolve("tune", "mine.py", *options, "-o", "out.py")
    assert "start (#1)" in done.stdout
    assert "wrote out.py" in done.stdout
    before, after = (knob_values((tmp_path / name).read_text()) for name in ("mine.py", "out.py"))
    assert before == {"height": (0.9,), "correction": (0.0,)}
    assert after != before
    with queries.reading(tmp_path / "runs" / "t") as connection:
        summary = queries.summary(connection, tmp_path / "runs" / "t")
        best = queries.program(connection, "winner")
    assert (summary["state"], summary["evaluations"]) == ("finished", 25)
    assert (best["proposer"], best["patch"], best["parent_id"]) == ("tuning", "tune", 1)
    assert best["source"] == (tmp_path / "out.py").read_text()
    assert best["score"] > summary["baseline"]["score"]
    assert f"tuned (#{best['id']})" in done.stdout

    again = evolve("tune", "best", "--run", "t", "--evaluations", "8", "--workers", "1", "--plain")
    assert f"start (#{best['id']})" in again.stdout
    rows = json.loads(evolve("ls", "t", "-n", "0", "-f", "json").stdout)
    assert sum(row["parent_id"] == best["id"] and row["proposer"] == "tuning" for row in rows) == 8
    assert len([row for row in rows if row["state"] == "scored"]) == 33


def refused(*arguments):
    with pytest.raises(EvolveError) as caught:
        cli.main([str(argument) for argument in arguments], standalone_mode=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_tuned_is_told_in_one_line(problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = tmp_path / "plain.py"
    plain.write_text("def approximate(x):\n    return x\n")
    assert "plain.py has no knobs to tune" in refused("tune", plain, "--problem", problem)
    assert "mine.py exists; name a new file" in refused("tune", "mine.py", "--problem", problem, "-o", "mine.py")
    assert "none.py cannot be read" in refused("tune", "none.py", "--problem", problem)
    assert "name the problem that scores it" in refused("tune", "mine.py")
    assert "there is no run in runs/ yet" in refused("tune", "best")
    assert "--device goes with --problem" in refused("tune", "best", "--device", "cpu")
    assert "--run and --problem exclude" in refused("tune", "mine.py", "--problem", problem, "--run", "r")
    assert "--sigma" in refused("tune", "mine.py", "--problem", problem, "--sigma", "0")
    assert "--population" in refused("tune", "mine.py", "--problem", problem, "--population", "2")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_merge_shows_search_and_validation_with_intervals_and_writes_its_file(evolve, tmp_path):
    shutil.copytree(SCAFFOLDS / "merge", tmp_path / "merge", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(tmp_path / "merge" / "seeds" / "average.py", tmp_path / "mine.py")
    done = evolve("tune", "mine.py", "--problem", "merge", "--evaluations", "12", "--workers", "1", "--plain")
    assert "tuned minus start, search: +" in done.stdout
    assert "over 40 items (tuned on these)" in done.stdout
    assert "tuned minus start, validation: +" in done.stdout
    assert "wrote mine.py" in done.stdout
    assert knob_values((tmp_path / "mine.py").read_text())["first_weight"] != (0.5,)
