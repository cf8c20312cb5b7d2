from __future__ import annotations

import re
from pathlib import Path

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


STATISTICS = "[profiles.tiny.statistics]\ntexts = 't.jsonl'\n"


def test_statistics_name_their_texts(folder):
    assert problems.load(str(folder)).statistics(None) is None
    (folder / "problem.toml").write_text(f"{TOML}{STATISTICS}items = 5\nadamerging = {{ steps = 7 }}\n")
    found = problems.load(str(folder)).statistics(None)
    assert (found.texts, found.items, found.max_tokens) == (f"{folder}/t.jsonl", 5, 256)
    assert (found.adamerging.steps, found.adamerging.batch) == (7, 16)
    assert type(found).from_dict(found.to_dict()) == found


BY_DONOR = "[profiles.tiny.statistics.texts]\nbase = 'b.jsonl'\n"


def test_each_donor_may_have_texts_of_its_own(folder):
    (folder / "problem.toml").write_text(f"{TOML}{BY_DONOR}ja = '{{problem}}/j.jsonl'\n")
    found = problems.load(str(folder)).statistics(None)
    assert [found.own_file(name) for name in ("base", "ja")] == [f"{folder}/b.jsonl", f"{folder}/j.jsonl"]
    assert found.unlabelled_files() == [f"{folder}/b.jsonl", f"{folder}/j.jsonl"]
    assert type(found).from_dict(found.to_dict()) == found


@pytest.mark.parametrize("texts", ["texts = 'same.jsonl'", "texts = { base = 'same.jsonl', ja = 'same.jsonl' }"])
def test_unlabelled_texts_are_the_donors_unless_they_are_named(folder, texts):
    path, table = folder / "problem.toml", f"{TOML}[profiles.tiny.statistics]\n{texts}\n"
    path.write_text(table)
    assert problems.load(str(folder)).statistics(None).unlabelled_files() == [f"{folder}/same.jsonl"]
    path.write_text(f"{table}unlabelled = 'u.jsonl'\n")
    assert problems.load(str(folder)).statistics(None).unlabelled_files() == [f"{folder}/u.jsonl"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (STATISTICS.split("texts")[0], "needs the key 'texts'"),
        (STATISTICS + "item = 5", "unknown key 'item' in .*statistics; did you mean 'items'"),
        (STATISTICS + "items = 0", "tiny.statistics.items must be at least 1, not 0"),
        (STATISTICS + "max_tokens = 1", "max_tokens must be at least 2"),
        (STATISTICS + "adamerging = { rate = 0.0 }", "adamerging.rate must be positive"),
        (BY_DONOR, r"tiny\.statistics\.texts has no file for the donor 'ja'; add ja = \"FILE.jsonl\""),
        (BY_DONOR + "jaa = 'j'", r"tiny\.statistics\.texts names no donor: 'jaa'; did you mean 'ja'"),
        (BY_DONOR + "ja = 3", r"tiny\.statistics\.texts\.ja must be a string, not 3"),
        (STATISTICS.replace("'t.jsonl'", "3"), r"statistics\.texts must be a string or a table, not 3"),
    ],
)
def test_wrong_statistics_are_explained(folder, table, said):
    (folder / "problem.toml").write_text(TOML + table)
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


DONORS = """[profiles.tiny.donors]
base = "{problem}/base"
ja = { adapter = "{problem}/lora", on = "base" }
aligned = { align = "ja", to = "base" }
"""


def test_donors_may_be_adapters_and_aligned(folder):
    (folder / "problem.toml").write_text(
        TOML.replace('[profiles.tiny.donors]\nbase = "{problem}/base"\nja = "~/ja"\n', DONORS)
    )
    found = problems.load(str(folder))
    assert found.donors(None) == {
        "base": f"{folder}/base",
        "ja": {"adapter": f"{folder}/lora", "on": "base"},
        "aligned": {"align": "ja", "to": "base"},
    }
    assert found.vocabulary == {"vocabulary": "reference", "tokens": {}}
    assert found.with_donors({"ja": "/there"}).donors(None)["ja"] == {"adapter": "/there", "on": "base"}


def test_a_union_of_vocabularies_with_chosen_tokens(folder):
    union = '[profiles.tiny]\nvocabulary = "union"\n[profiles.tiny.tokens]\n"<|im_end|>" = "ja"\n'
    (folder / "problem.toml").write_text(TOML + union)
    assert problems.load(str(folder)).vocabulary == {"vocabulary": "union", "tokens": {"<|im_end|>": "ja"}}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('vocabulary = "unity"', "profile 'tiny': vocabulary must be one of reference, union, not 'unity'"),
        ('vocabulary = "union"\ntokenizer = "ja"', "the tokenizer is made; remove the key tokenizer"),
        ('[profiles.tiny.tokens]\na = "ja"', 'the table tokens needs vocabulary = "union"'),
        ('vocabulary = "union"\n[profiles.tiny.tokens]\na = "jaa"', "'a' names no donor: 'jaa'; did you mean 'ja'"),
        ("[profiles.tiny.tokens]\na = 3", "must be a string, not 3"),
    ],
)
def test_wrong_vocabularies_are_explained(folder, more, said):
    (folder / "problem.toml").write_text(f"{TOML}[profiles.tiny]\n{more}\n")
    with pytest.raises(ProblemError, match=said) as caught:
        problems.load(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{ adapter = "x", onto = "base" }', "profile 'tiny': donor 'ja' has the keys adapter, onto; it must be"),
        ('{ align = "base", to = "bass" }', "needs a donor 'bass'; did you mean 'base'"),
        ("7", "donor 'ja' must be a folder or hub id"),
    ],
)
def test_wrong_donors_are_explained(folder, entry, said):
    (folder / "problem.toml").write_text(TOML.replace('ja = "~/ja"', f"ja = {entry}"))
    with pytest.raises(ProblemError, match=said) as caught:
        problems.load(str(folder))
    assert "\n" not in str(caught.value)


def test_profiles_in_the_documentation_can_be_read(folder):
    page = Path(__file__).resolve().parent.parent / "docs" / "problems.md"
    examples = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        if "[profiles.mine" in example:
            (folder / "problem.toml").write_text(f"{TOML}\n{example}")
            assert problems.load(str(folder), "mine").profile.donors
