from __future__ import annotations

from collections import Counter

import pytest

from evolve.store import queries

GROUPS = "offline/numbers,offline/structure"
TOLD = ("--llm", GROUPS, "--set", "search.tuning=true", "--seed", "3", "--workers", "1")
FIRST = 7
"""First points of the profiles: one more than two experts with the embedding and the head of a model of one layer."""


def arms(terminal, name):
    with terminal.reading(name) as connection:
        return Counter(row["proposer"] for row in queries.programs(connection))


def test_a_merge_starts_with_profiles_and_then_divides_its_evaluations(terminal):
    terminal.run("run", "merge", "--evaluations", "60", "--name", "whole", *TOLD)
    found = arms(terminal, "whole")
    assert all(found[arm] >= 1 for arm in ("profiles", "tuning", "offline/numbers", "offline/structure")), found
    stats = terminal.run("stats", "whole").stdout
    assert all(arm in stats for arm in ("profiles", "tuning", "offline/numbers", "offline/structure"))
    with terminal.reading("whole") as connection:
        rows = queries.programs(connection, order="oldest")
    kinds = [row["proposer"] for row in rows if row["proposer"] != "problem"]
    assert kinds[:FIRST] == ["profiles"] * FIRST

    terminal.run("run", "merge", "--evaluations", "40", "--name", "parts", *TOLD)
    terminal.run("resume", "parts", "--evaluations", "60", "--workers", "1")
    assert terminal.programs("parts")[:40] == terminal.programs("whole")[:40]
    with terminal.reading("parts") as connection:
        rows = queries.programs(connection, order="oldest")
    assert len({row["source_digest"] for row in rows}) == len(rows), "a resumed run does not open with the same points"


@pytest.mark.parametrize("strategy", ["cmaes", "random", "genome"])
def test_other_strategies_run_in_the_same_loop(terminal, strategy):
    terminal.run(
        "run", "merge", "--evaluations", "12", "--name", "peer", "--strategy", strategy, "--workers", "1", "--seed", "1"
    )
    assert terminal.summary("peer")["evaluations"] == 12
    assert set(arms(terminal, "peer")) == {"problem", strategy}


def test_an_unknown_strategy_or_bandit_is_one_line(terminal):
    done = terminal.run("run", "merge", "--strategy", "cmaess", "--name", "x", status=1)
    assert "unknown search strategy 'cmaess'; did you mean 'cmaes'?" in done.stderr
    done = terminal.run("run", "merge", "--set", "search.bandit=ucbb", "--name", "x", status=1)
    assert "unknown search.bandit 'ucbb'; did you mean 'ucb'?" in done.stderr
    done = terminal.run("run", "merge", "--strategy", "evollm", "--name", "x", status=1)
    assert "'evollm' asks a language model" in done.stderr
    assert not (terminal.runs / "x").exists()
