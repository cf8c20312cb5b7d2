from __future__ import annotations

import pytest

from evolve.config import RunConfig, assignment, build, nearest, update
from evolve.errors import ProblemError, UsageError
from evolve.problem import Manifest


def test_update_merges_sections_and_keeps_the_rest():
    config = update(RunConfig(), {"budget": {"evaluations": 7}, "seed": 3}, "here")
    assert (config.budget.evaluations, config.seed) == (7, 3)
    assert config.search == RunConfig().search


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"budgte": {}}, "did you mean 'budget'"),
        ({"budget": {"evaluation": 3}}, "did you mean 'evaluations'"),
        ({"budget": {"evaluations": "many"}}, "must be a whole number, not 'many'"),
        ({"budget": {"evaluations": True}}, "must be a whole number, not True"),
        ({"budget": 3}, "must be a table, not 3"),
        ({"seed": 1.5}, "must be a whole number"),
    ],
)
def test_update_refuses_what_it_does_not_know(table, said):
    with pytest.raises(UsageError, match=said):
        update(RunConfig(), table, "here")


def test_whole_numbers_serve_as_numbers():
    assert update(RunConfig(), {"budget": {"usd": 2}}, "here").budget.usd == 2.0


def test_build_names_the_missing_key_and_the_nested_table():
    with pytest.raises(ProblemError, match="needs the key 'kind'"):
        build(Manifest, {}, "problem.toml", ProblemError)
    with pytest.raises(ProblemError, match=r"problem.toml.features.x needs the key 'bins'"):
        build(Manifest, {"kind": "merge", "features": {"x": {"low": 0, "high": 1}}}, "problem.toml", ProblemError)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("search.islands=2", {"search": {"islands": 2}}),
        ("proposals.llm=offline:1,openai/x:2", {"proposals": {"llm": "offline:1,openai/x:2"}}),
        ("seed = 4", {"seed": 4}),
    ],
)
def test_assignment(text, value):
    assert assignment(text) == value


def test_assignment_without_value_is_refused():
    with pytest.raises(UsageError, match="SECTION.KEY=VALUE"):
        assignment("search.islands")


def test_nearest_lists_what_exists_when_nothing_is_close():
    assert nearest("zzz", ["alpha", "beta"]) == "known: alpha, beta"
