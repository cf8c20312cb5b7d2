from __future__ import annotations

import json
import shutil

from evolve.store import queries


def test_a_merge_run_ends_with_the_table_and_can_be_exported_and_tested(terminal):
    done = terminal.run("run", "merge", "--evaluations", "12", "--name", "m", "--workers", "2")
    for word in (
        "donors     base, first, second",
        "proposers  offline",
        "budget     12 evaluations",
        "no language model",
    ):
        assert word in done.stdout
    for word in ("average", "best program (#", "winner minus this", "evolve export winner", "evolve resume m"):
        assert word in done.stdout
    summary = terminal.summary("m")
    assert (summary["state"], summary["evaluations"]) == ("finished", 12)
    with terminal.reading("m") as connection:
        winner = queries.program(connection, "winner")
    assert {row["split"] for row in winner["evaluations"]} == {"search", "validation", "test"}
    assert [len(row["outcomes"]) for row in winner["evaluations"]] == [40, 40, 40]

    terminal.run("export", "winner", "made", "--run", "m")
    card = (terminal.folder / "made" / "README.md").read_text()
    assert winner["source"].rstrip() in card
    assert winner["plan_digest"] in card
    assert str(terminal.folder) not in card
    assert "is not empty" in terminal.run("export", "winner", "made", "--run", "m", status=1).stderr

    assert "whole model, difference from base: first" in terminal.run("show", "best", "m", "--provenance").stdout
    found = json.loads(terminal.run("show", "winner", "m", "--provenance", "--format", "json").stdout)
    assert (found["program"], found["base"]) == (winner["id"], "base")
    assert {place["role"] for place in found["places"]} >= {"embed", "q_proj", "down_proj", "final_norm"}

    tested = terminal.run("test", "winner", "m", "-f", "json")
    scores = json.loads(tested.stdout[tested.stdout.index("[") :])
    assert scores[0]["test_score"] == next(r["score"] for r in winner["evaluations"] if r["split"] == "test")


def test_one_seed_and_one_worker_give_one_run(terminal):
    for name in ("a", "b"):
        terminal.run("run", "merge", "--evaluations", "14", "--seed", "5", "--workers", "1", "--name", name)
    assert terminal.programs("a") == terminal.programs("b")
    terminal.run("run", "program", "--evaluations", "10", "--seed", "5", "--workers", "1", "--name", "c")
    terminal.run("run", "program", "--evaluations", "10", "--seed", "6", "--workers", "1", "--name", "d")
    assert terminal.programs("c") != terminal.programs("d")


def test_a_program_run_and_the_commands_that_read_it(terminal):
    terminal.run("run", "program", "--evaluations", "10", "--name", "p")
    rows = json.loads(terminal.run("ls", "p", "-f", "json", "-n", "0").stdout)
    assert sum(row["state"] == "scored" for row in rows) == 10 - sum(row["state"] == "failed" for row in rows)
    scores = [row["score"] for row in rows if row["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert "p " in terminal.run("ls").stdout
    assert terminal.run("ls", "-f", "csv").stdout.splitlines()[1].startswith("p,finished,10,")
    shown = terminal.run("show", "best", "p").stdout
    assert "def approximate(x):" in shown
    assert terminal.run("show", "1", "p", "-f", "csv").stdout.splitlines()[1].startswith("1,scored,")
    assert json.loads(terminal.run("best", "p", "-f", "json").stdout)[0]["score"] == scores[0]
    assert "by problem, generation 0" in terminal.run("show", "1", "p").stdout
    assert "program 1 has no provenance" in terminal.run("show", "1", "p", "--provenance", status=1).stderr
    assert terminal.run("best", "--source").stdout.startswith('"""Two parabolas')
    assert "program 1: search" in terminal.run("diff", "1", str(rows[0]["id"]), "p").stdout
    assert "no such run" not in terminal.run("show", "999", "p", status=1).stderr


def test_a_finished_run_is_extended_by_a_larger_budget(terminal):
    terminal.run("run", "program", "--evaluations", "5", "--name", "p")
    before = terminal.programs("p")
    terminal.run("resume", "p", "--evaluations", "9")
    assert terminal.summary("p")["evaluations"] == 9
    assert terminal.programs("p")[: len(before)] == before


def test_resume_uses_the_problem_as_it_was(terminal):
    terminal.run("run", "program", "--evaluations", "3", "--name", "p")
    shutil.rmtree(terminal.folder / "program")
    terminal.run("resume", "p", "--evaluations", "5")
    assert terminal.summary("p")["evaluations"] == 5


def test_islands_and_every_parent_sampler_run(terminal):
    for name in ("power_law", "uniform_cell", "beam"):
        terminal.run("run", "program", "--evaluations", "8", "--name", name, "--set", f"search.parent_sampler={name}",
                     "--set", "search.islands=2", "--set", "search.migration_interval=2")  # fmt: skip
        assert terminal.summary(name)["evaluations"] == 8


def test_minimised_scores_are_shown_as_the_problem_states_them(terminal):
    folder = terminal.folder / "program"
    toml = (folder / "problem.toml").read_text()
    (folder / "problem.toml").write_text(toml.replace('"maximize"', '"minimize"'))
    code = (folder / "evaluate.py").read_text()
    (folder / "evaluate.py").write_text(code.replace("score=1 / (1 + error)", "score=error"))
    terminal.run("run", "program", "--evaluations", "10", "--name", "p")
    rows = json.loads(terminal.run("ls", "p", "--state", "scored", "-f", "json", "-n", "0").stdout)
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores)
    assert scores[0] > 0
    assert f"{scores[0]:.6g}" in terminal.run("best", "p").stdout


def test_check_accepts_the_examples(terminal):
    for kind in ("merge", "program"):
        text = terminal.run("check", kind, "--device", "cpu").stdout
        assert text.endswith(f"{kind}: ready\n")
        assert "ok   broken program: refused" in text
        assert "ok   endless program: refused: no answer within 10 s" in text


def test_check_finds_an_evaluator_that_varies(terminal):
    path = terminal.folder / "program" / "evaluate.py"
    path.write_text(path.read_text().replace("score=1 / (1 + error)", "score=__import__('time').time() % 1"))
    text = terminal.run("check", "program", status=1).stdout
    assert "FAIL seed parabola: two evaluations differ" in text


def test_a_resumed_run_shows_the_best_of_before(terminal):
    terminal.run("run", "program", "--evaluations", 4, "--name", "p")
    done = terminal.run("resume", "p", "--evaluations", 6, "--plain")
    lines = [line for line in done.stdout.splitlines() + done.stderr.splitlines() if "/6 evaluations" in line]
    assert lines
    assert not [line for line in lines if "none yet" in line]
