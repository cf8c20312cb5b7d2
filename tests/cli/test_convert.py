from __future__ import annotations

import tomllib

import pytest
from click.testing import CliRunner

from evolve.cli.main import cli
from evolve.errors import EvolveError
from evolve.problem import load

YAML = """
merge_method: ties
base_model: {0}/base
models:
- model: {0}/a
  parameters: {{weight: 0.6, density: [1, 0.5]}}
- model: {0}/b
  parameters: {{weight: 0.5, density: 0.4}}
dtype: bfloat16
tokenizer_source: {0}/a
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch, small):
    """A folder with merge.yml, which names the three small models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "merge.yml").write_text(YAML.format(small.parent))
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


def refused(*arguments):
    with pytest.raises(EvolveError) as caught:
        invoke(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_recipe_goes_to_standard_output_or_to_a_file(workplace):
    printed = invoke("import", "merge.yml").output
    assert "return ties(base, [a, b], [a_weight, b_weight], density=[at(a_density, depth), b_density])" in printed
    told = invoke("import", "merge.yml", "--out", "recipe.py").output
    assert (workplace / "recipe.py").read_text() == printed
    assert "next:  evolve merge recipe.py --out MODEL --dtype bfloat16 --tokenizer a\n" in told
    assert "recipe.py exists" in refused("import", "merge.yml", "--out", "recipe.py")


def test_a_recipe_file_goes_back_to_mergekit(workplace):
    invoke("import", "merge.yml", "--out", "recipe.py")
    assert "gives the same plan" in invoke("export", "recipe.py", "--mergekit", "back.yml").output
    text = (workplace / "back.yml").read_text()
    assert "merge_method: ties" in text
    assert "out_dtype: bfloat16" in text
    assert "density: [1.0, 0.5]" in text
    assert "back.yml exists" in refused("export", "recipe.py", "--mergekit", "back.yml")


def test_a_recipe_without_a_counterpart_says_why(workplace, small):
    source = small.read_text().replace("    return ties", "    return (a - b).exp() + ties")
    (workplace / "recipe.py").write_text(source)
    said = refused("export", "recipe.py", "--mergekit", "back.yml")
    assert said.startswith("recipe.py has no mergekit configuration: model.embed_tokens.weight is computed by none of")
    assert not (workplace / "back.yml").exists()
    assert "evolve merge" in refused("export", "recipe.py", "model")


def test_a_new_problem_has_the_recipe_as_its_seed(workplace, small):
    invoke("import", "merge.yml", "--problem", "mine")
    problem = load("mine")
    assert list(problem.seeds) == ["merge"]
    assert problem.donors(None) == {name: str(small.parent / name) for name in ("base", "a", "b")}
    assert problem.profile.tokenizer == "a"
    assert all((workplace / "mine" / f"{split}.jsonl").is_file() for split in ("search", "validation", "test"))


def test_a_problem_with_these_donors_gets_one_more_seed(workplace):
    invoke("import", "merge.yml", "--problem", "mine")
    (workplace / "merge.yml").rename(workplace / "second.yml")
    invoke("import", "second.yml", "--problem", "mine")
    assert list(load("mine").seeds) == ["merge", "second"]
    assert "second.py exists" in refused("import", "second.yml", "--problem", "mine")
    (workplace / "other.yml").write_text((workplace / "second.yml").read_text().replace("/b\n", "/c\n"))
    assert "mine has no donor 'c'" in refused("import", "other.yml", "--problem", "mine")


def test_a_union_of_vocabularies_is_asked_for(workplace):
    text = (workplace / "merge.yml").read_text()
    (workplace / "merge.yml").write_text(text.split("tokenizer_source")[0] + "tokenizer_source: union\n")
    assert "--vocabulary union" in invoke("import", "merge.yml", "--out", "recipe.py").output
    invoke("import", "merge.yml", "--problem", "mine")
    table = tomllib.loads((workplace / "mine" / "problem.toml").read_text())
    assert table["profiles"]["imported"]["vocabulary"] == "union"


def test_folders_and_files_in_the_way_are_left_alone(workplace):
    (workplace / "full").mkdir()
    (workplace / "full" / "mine").write_text("mine")
    assert "neither a problem nor empty" in refused("import", "merge.yml", "--problem", "full")
    assert "give either --out or --problem" in refused("import", "merge.yml", "--problem", "x", "--out", "y")
    assert "none.yml cannot be read: No such file" in refused("import", "none.yml")


def test_places_that_cannot_be_written_are_one_line(workplace):
    assert "nowhere/r.py cannot be written: No such file" in refused("import", "merge.yml", "--out", "nowhere/r.py")
    (workplace / "file").write_text("")
    assert "file/p cannot be written: Not a directory" in refused("import", "merge.yml", "--problem", "file/p")
    invoke("import", "merge.yml", "--out", "recipe.py")
    told = refused("export", "recipe.py", "--mergekit", "nowhere/back.yml")
    assert "nowhere/back.yml cannot be written: No such file or directory; name another place" in told
