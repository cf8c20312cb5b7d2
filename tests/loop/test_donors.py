"""``evolve donors`` as a user would call it, in this process to import torch once."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from click.testing import CliRunner
from transformers import LlamaConfig, LlamaForCausalLM

from evolve.cli.main import cli

WEIGHTED = """
# EVOLVE-BLOCK-START
def merge(site, first, second):
    f, s = site.stat("fisher", "first") + 1e-6, site.stat("fisher", "second") + 1e-6
    return (f * first + s * second) / (f + s)
# EVOLVE-BLOCK-END
"""
NAMES = ("base", "first", "second")
TABLE = '[profiles.tiny.statistics]\ntexts = "{prepared}/search.jsonl"\n'
FEW = f"{TABLE}items = 6\nadamerging = {{ steps = 2 }}\n"


@pytest.fixture
def donors(terminal, cache, monkeypatch):
    """``donors(arguments)`` runs the command in the terminal's folder."""
    monkeypatch.chdir(terminal.folder)
    monkeypatch.setenv("EVOLVE_CACHE", str(cache))
    torch.set_num_threads(1)

    def run(*arguments):
        return CliRunner().invoke(cli, ["donors", *arguments])

    return run


@pytest.fixture
def toml(terminal):
    """problem.toml of the scaffold with untrained donors in place of its prepare hook's."""
    problem = terminal.folder / "merge"
    spec = importlib.util.spec_from_file_location("scaffold_donors", problem / "donors.py")
    scaffold = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scaffold)
    coder = scaffold.tokenizer()
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        special = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=len(coder), **size, **special))
        model.save_pretrained(problem / name)
        coder.save_pretrained(problem / name)
    rows = [{"kind": kind, "text": "a b c d 0 1 2"} for kind in ("first", "second")]
    (problem / "search.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (problem / "problem.toml").read_text().replace(TABLE, FEW).replace('prepare = "donors.py"\n', "", 1)
    text = "".join(line for line in text.splitlines(True) if not line.startswith(("validation =", "test =")))
    (problem / "problem.toml").write_text(text.replace("{prepared}", "{problem}"))
    return problem / "problem.toml"


def _rows(result):
    assert result.exception is None, result.exception
    return {row["name"]: row for row in json.loads(result.stdout)}


def test_a_prepare_hook_makes_the_donors_and_the_texts(terminal, donors):
    path = terminal.folder / "merge" / "problem.toml"
    path.write_text(path.read_text().replace(TABLE, FEW))
    rows = _rows(donors("merge", "--prepare", "gram", "-f", "json"))
    assert set(rows) == set(NAMES)
    assert rows["base"]["source"] == "{prepared}/base"
    assert rows["base"]["statistics"] == ["gram"]


def test_statistics_are_prepared_once_and_used_by_recipes(terminal, donors, toml):
    rows = _rows(donors("merge", "-f", "json"))
    assert (rows["base"]["layers"], rows["base"]["dtype"], rows["base"]["statistics"]) == (2, "float32", [])
    assert rows["base"]["size_bytes"] == 4 * rows["base"]["parameters"]
    made = donors("merge", "--prepare", "fisher,adamerging")
    assert made.stderr.count("wrote ") == 5
    assert "adamerging, fisher" in made.stdout
    assert donors("merge", "--prepare").stderr.count("wrote ") == 3  # the grams
    again = donors("merge", "--prepare", "-f", "json")
    assert "wrote" not in again.stderr
    assert _rows(again)["first"]["statistics"] == ["adamerging", "fisher", "gram"]
    assert _rows(again)["base"]["statistics"] == ["fisher", "gram"]

    for seed in (toml.parent / "seeds").glob("*.py"):
        seed.unlink()
    (toml.parent / "seeds" / "weighted.py").write_text(WEIGHTED)
    assert "ok   seed weighted: score" in terminal.run("check", "merge", "--device", "cpu").stdout


def test_an_alignment_is_told_before_it_begins_and_made_once(donors, toml):
    text = toml.read_text()
    second = next(line for line in text.splitlines(True) if line.startswith("second ="))
    toml.write_text(text.replace(second, f'{second}matched = {{ align = "second", to = "base" }}\n', 1))
    told = donors("merge", "--device", "cpu").stderr
    assert told.index("aligning donor 'matched' with 'base' on cpu") < told.index("relative distance to 'base'")
    assert "aligning" not in donors("merge").stderr
    assert "device 'tpu' is unknown; use --device cpu" in str(donors("merge", "--device", "tpu").exception)


def test_a_profile_without_texts_says_what_to_add(donors, toml):
    toml.write_text(toml.read_text().split("[profiles.tiny.statistics]")[0])
    assert _rows(donors("merge", "-f", "json"))["base"]["statistics"] == []
    refused = str(donors("merge", "--prepare").exception)
    assert "add to problem.toml: [profiles.tiny.statistics] with texts =" in refused
    assert "\n" not in refused


def test_texts_that_are_missing_do_not_hide_the_donors(donors, toml):
    (toml.parent / "search.jsonl").unlink()
    listed = donors("merge")
    assert "note: the texts for statistics are missing" in listed.stderr
    assert "second" in listed.stdout
    assert "texts for statistics are missing" in str(donors("merge", "--prepare").exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["merge", "--prepare", "fischer"], "--prepare takes some of adamerging,fisher,gram, not 'fischer'"),
        (["program"], "program evolves programs and has no donors"),
        (["merge", "--donor", "frist=x"], "no donor 'frist'; did you mean 'first'"),
    ],
)
def test_wrong_input_is_one_clear_line(donors, arguments, said):
    assert said in str(donors(*arguments).exception)
