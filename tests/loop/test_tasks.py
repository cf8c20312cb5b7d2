"""A real run of a merge problem whose tasks weigh unequally, with one task held out."""

from __future__ import annotations

import pytest

from evolve import problem as problems
from evolve.errors import ProblemError
from evolve.store import queries, tasks
from evolve.stratified import weighted_compare, weighted_interval

TABLES = """
[tasks.first]
weight = 3.0

[tasks.second]

[tasks.both]
held_out = true

[evaluation]
racing = true
"""


@pytest.fixture
def weighted(terminal):
    folder = terminal.folder / "merge"
    hook = (folder / "donors.py").read_text()
    hook = hook.replace('{"kind": kind, "text"', '{"task": kind, "kind": kind, "text"')
    hook = hook.replace("for _ in range(20)]", "for _ in range(20 if kind == 'first' else 8)]")
    hook += (
        '    rows = [{"task": "both", "text": text("first", rng)[:11] + text("second", rng)[11:]} for _ in range(9)]\n'
        '    (folder / "held_out.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))\n'
    )
    (folder / "donors.py").write_text(hook.replace('"version": 1', '"version": "tasks"'))
    judge = (folder / "evaluate.py").read_text()
    start = judge.index("    means = {}")
    (folder / "evaluate.py").write_text(
        judge[:start] + "    found = Evaluation.over_tasks(candidate.items, outcomes, candidate.task_weights)\n"
        '    places = {kind: found.metrics.get(f"accuracy_{kind}", 0.0) for kind in ("first", "second")}\n'
        "    return Evaluation(found.score, found.metrics, places, outcomes)\n"
    )
    path = folder / "problem.toml"
    split = 'test = "{prepared}/test.jsonl"\n'
    path.write_text(path.read_text().replace(split, split + 'held_out = "{prepared}/held_out.jsonl"\n') + TABLES)
    return terminal


def test_a_weighted_problem_from_start_to_report(weighted):
    done = weighted.run("run", "merge", "--evaluations", 6, "--seed", 1, "--name", "w")
    assert "not raced: the score is a weighted mean of tasks" in done.stdout + done.stderr
    with weighted.reading("w") as connection:
        winner = queries.summary(connection, weighted.runs / "w")["winner_id"]
        found = {row["split"]: row for row in queries.evaluations(connection, winner)}
        search = found["search"]
        by_task = search["outcomes"][:20], search["outcomes"][20:]
        means = [sum(values) / len(values) for values in by_task]
        assert search["score"] == pytest.approx(0.75 * means[0] + 0.25 * means[1])
        strata = tasks.strata(connection, "search")
        assert strata is not None
        interval = tasks.split_interval(connection, "search", search["score"], search["outcomes"])
        assert interval == weighted_interval(strata, search["outcomes"])
        assert tasks.strata(connection, "held_out") is None, "one task alone is a plain mean"
        # Nothing but the winner and the baselines ever saw the held-out task.
        baselines = {row["id"] for row in queries.baselines(connection)}
        rows = connection.execute("SELECT proposal_id FROM evaluations WHERE split = 'held_out'").fetchall()
        assert {row["proposal_id"] for row in rows} == baselines | {winner}
        assert found["held_out"]["items"] == 9
        weakest = min(baselines - {winner})
        first = next(row for row in queries.evaluations(connection, weakest) if row["split"] == "search")
    assert "zero-shot" in done.stdout
    assert f"[{interval.low:.3f}, {interval.high:.3f}]" in done.stdout
    precise = f"[{interval.low:.4f}, {interval.high:.4f}]"
    assert precise in weighted.run("show", winner, "w").stdout
    assert precise in weighted.run("best", "w").stdout
    other = weighted_compare(strata, search["outcomes"], first["outcomes"])
    told = weighted.run("diff", weakest, winner, "w").stdout
    assert f"{other.difference:+.4f} [{other.low:+.4f}, {other.high:+.4f}], randomisation p" in told
    told = weighted.run("tune", weakest, "--run", "w", "--evaluations", 8, "--workers", 1).stdout
    tuned = int(told.split("tuned (#")[1].split(")")[0])
    with weighted.reading("w") as connection:
        ours, theirs = (queries.outcomes(connection, number) for number in (tuned, weakest))
    found = weighted_compare(strata, ours, theirs)
    assert f"search: {found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over 28 items" in told


def test_a_held_out_item_among_the_search_items_ends_the_start(weighted):
    path = weighted.folder / "merge" / "problem.toml"
    path.write_text(path.read_text().replace("[tasks.second]\n", "[tasks.second]\nheld_out = true\n"))
    done = weighted.run("run", "merge", "--evaluations", 4, "--name", "wrong", status=1)
    assert "split 'search' holds the task 'second', which is held out" in done.stdout + done.stderr
    assert not (weighted.runs / "wrong").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("weight = 3.0", "weight = 0.0", "tasks.first.weight must be a positive number, not 0.0"),
        ("weight = 3.0", "wieght = 3.0", "unknown key 'wieght'"),
        ("held_out = true", "", "the split 'held_out' needs a task with held_out = true"),
    ],
)
def test_wrong_tables_are_refused(weighted, before, after, message):
    path = weighted.folder / "merge" / "problem.toml"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ProblemError, match=message):
        problems.load(str(path.parent))


def test_at_least_one_task_is_not_held_out(weighted):
    path = weighted.folder / "merge" / "problem.toml"
    text = path.read_text().replace("[tasks.second]\n", "[tasks.second]\nheld_out = true\n")
    path.write_text(text.replace("weight = 3.0", "held_out = true"))
    with pytest.raises(ProblemError, match="all 3 tasks are held out"):
        problems.load(str(path.parent))
