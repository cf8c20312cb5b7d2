from __future__ import annotations

import pytest

from evolve import problem as problems
from evolve import resources
from evolve.errors import ProblemError

TOML = """
title = "t"
kind = "merge"
default_profile = "tiny"
[features.a]
low = 0.0
high = 1.0
bins = 4
[budget]
evaluations = 50
[profiles.tiny.donors]
base = "{problem}/base"
ja = "~/ja"
[profiles.tiny.splits]
search = "items/search.jsonl"
[profiles.tiny.budget]
evaluations = 20
[profiles.hub.donors]
base = "someone/model"
"""


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mine"
    (root / "seeds").mkdir(parents=True)
    (root / "seeds" / "first.py").write_text("def merge(site, base):\n    return base\n")
    (root / "evaluate.py").write_text("")
    (root / "task.md").write_text("do it")
    (root / "problem.toml").write_text(TOML)
    return root


def test_a_problem_folder_is_read(folder):
    found = problems.load(str(folder))
    assert (found.name, found.kind, found.profile_name, found.task) == ("mine", "merge", "tiny", "do it")
    assert found.config().budget.evaluations == 20
    assert found.donors(None)["base"] == f"{folder}/base"
    assert not found.donors(None)["ja"].startswith("~")
    assert found.splits(None) == {"search": f"{folder}/items/search.jsonl"}
    assert problems.load(str(folder), "hub").config().budget.evaluations == 50
    assert set(found.digest()) == {"problem.toml", "evaluate.py", "task.md", "seeds/first.py"}


def test_shipped_problems_are_found_by_name_and_by_path():
    assert problems.load("circle_packing").folder == problems.load("problems/circle_packing").folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kind =", "kin ="), "unknown key 'kin'.*did you mean 'kind'"),
        (('"merge"', '"merges"'), "must be 'merge' or 'program', not 'merges'"),
        (("bins = 4", "bins = 0"), "needs low < high and bins >= 1"),
        (
            ("[profiles.tiny.splits]\nsearch", "[profiles.tiny.splits]\nsaerch"),
            "unknown split 'saerch'; did you mean 'search'",
        ),
        (('"tiny"', '"tinny"'), "no profile 'tinny'; did you mean 'tiny'"),
        (("evaluations = 50", "evaluatons = 50"), "did you mean 'evaluations'"),
        (("title =", "title ;"), "cannot be read"),
    ],
)
def test_a_wrong_problem_toml_is_explained(folder, change, said):
    (folder / "problem.toml").write_text(TOML.replace(*change))
    with pytest.raises(ProblemError, match=said):
        problems.load(str(folder))


@pytest.mark.parametrize("name", ["evaluate.py", "task.md", "seeds/first.py"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ProblemError, match=name.split("/")[0]):
        problems.load(str(folder))


def test_unknown_problems_get_the_nearest_name():
    with pytest.raises(ProblemError, match="no problem 'jp_maths'; did you mean 'jp_math'"):
        problems.load("jp_maths")


def test_a_folder_without_problem_toml_is_explained(tmp_path):
    with pytest.raises(ProblemError, match="holds no problem.toml"):
        problems.load(str(tmp_path))


def test_donors_can_be_replaced_but_not_invented(folder):
    found = problems.load(str(folder)).with_donors({"ja": "/elsewhere"})
    assert found.donors(None)["ja"] == "/elsewhere"
    with pytest.raises(ProblemError, match="no donor 'jap'; did you mean 'ja'"):
        found.with_donors({"jap": "/elsewhere"})


def test_prepared_needs_a_hook(folder):
    (folder / "problem.toml").write_text(TOML.replace("{problem}/base", "{prepared}/base"))
    with pytest.raises(ProblemError, match="no `prepare` hook"):
        problems.load(str(folder)).donors(None)


def test_cache_and_data_folders_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "c"))
    monkeypatch.delenv("EVOLVE_DATA", raising=False)
    assert resources.cache_folder() == tmp_path / "c"
    assert resources.data_folder() == tmp_path / "c" / "data"
