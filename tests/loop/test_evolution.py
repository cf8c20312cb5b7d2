from __future__ import annotations

from collections import Counter

import pytest

from evolve.store import queries

GROUPS = "offline/numbers,offline/structure"
TOLD = ("--llm", GROUPS, "--set", "search.tuning=true", "--set", "search.survey=2", "--seed", "3", "--workers", "1")


def arms(terminal, name):
    with terminal.reading(name) as connection:
        return Counter(row["proposer"] for row in queries.programs(connection))


def test_a_merge_is_surveyed_then_structures_and_tuning_share_the_evaluations(terminal):
    terminal.run("run", "merge", "--evaluations", "30", "--name", "whole", *TOLD)
    found = arms(terminal, "whole")
    assert found["survey"] == 2, "a fixed number, at most a tenth of the budget"
    assert found["tuning"] >= 2 and found["offline/numbers"] >= 2 and found["offline/structure"] >= 2
    stats = terminal.run("stats", "whole").stdout
    assert all(arm in stats for arm in ("survey", "tuning", "offline/numbers", "offline/structure"))
    with terminal.reading("whole") as connection:
        rows = queries.programs(connection, order="oldest")
    kinds = [row["proposer"] for row in rows if row["proposer"] != "problem"]
    assert kinds[:2] == ["survey", "survey"]

    terminal.run("run", "merge", "--evaluations", "20", "--name", "parts", *TOLD)
    terminal.run("resume", "parts", "--evaluations", "30", "--workers", "1")
    assert terminal.programs("parts")[:20] == terminal.programs("whole")[:20]
    assert arms(terminal, "parts")["survey"] == 2, "a resumed run does not survey again"


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
