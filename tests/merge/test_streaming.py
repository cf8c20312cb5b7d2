"""Checkpoints built parameter by parameter hold what the live model holds."""

from __future__ import annotations

import json
import resource

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolve.donors.donors import load_donors
from evolve.errors import CandidateError, RunError, UsageError
from evolve.merge.model import LiveModel
from evolve.merge.streaming import Options, build


def silent(done, total):
    assert 0 <= done <= total


def built(plan, donors, folder, **options):
    build(plan, donors, folder, "card", Options(tokenizer=donors.tokenizer, **options), silent)
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").state_dict()


def live(plan, donors, dtype=torch.float32):
    model = LiveModel(donors, dtype=dtype)
    model.apply(plan)
    return model.model.state_dict()


def same(found, expected):
    assert found.keys() == expected.keys()
    return all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bits_are_those_of_the_live_model(workshop, mix, tmp_path, name, dtype):
    donors = load_donors(workshop.donors(name, "base", "a"))
    plan = mix(donors.sites, {"base": 0.3, "a": 0.7})
    assert same(built(plan, donors, tmp_path / "out", dtype=dtype), live(plan, donors, dtype))


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_stacks_of_another_depth_with_scales(workshop, mix, tmp_path, name):
    donors = load_donors(workshop.donors(name, "base", "a", dtype=torch.bfloat16))
    stack = [("merged", 0, 1.0), ("a", 1, 0.5), ("merged", 0, -2.0), ("merged", 2, 1.0), ("base", 2, 1.0)]
    plan = mix(donors.sites, {"base": 0.5, "a": 0.5}, stack)
    assert same(built(plan, donors, tmp_path / "out"), live(plan, donors, torch.bfloat16))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == 5


def test_threads_shards_and_memory_change_no_bit(workshop, mix, tmp_path):
    donors = load_donors(workshop.donors("llama", "base", "a"))
    plan = mix(donors.sites, {"base": 0.3, "a": 0.7})
    one = built(plan, donors, tmp_path / "one")
    other = built(plan, donors, tmp_path / "other", threads=4, memory_bytes=20_000, shard_bytes=10_000)
    assert same(one, other)
    assert len(list((tmp_path / "other").glob("model-*.safetensors"))) > 3


def test_a_donor_in_shards_with_more_rows_and_a_tied_one(workshop, mix, tmp_path):
    folders = workshop.donors("llama", "base")
    folders["longer"] = workshop.save(
        workshop.model("llama", 1, vocab_size=workshop.vocabulary + 8), "longer", max_shard_size="20KB"
    )
    folders["tied"] = workshop.save(workshop.model("llama", 2, tie_word_embeddings=True), "tied")
    donors = load_donors(folders)
    plan = mix(donors.sites, {"base": 0.2, "longer": 0.5, "tied": 0.3})
    assert same(built(plan, donors, tmp_path / "out"), live(plan, donors))


def test_tokenizer_generation_config_and_card_go_with_it(workshop, mix, tmp_path):
    donors = load_donors(workshop.donors("llama", "base", "a"))
    built(mix(donors.sites, {"a": 1.0}), donors, tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").get_vocab() == workshop.tokenizer().get_vocab()
    assert (tmp_path / "out" / "README.md").read_text() == "card"
    written = (tmp_path / "out" / "generation_config.json").read_text()
    assert written == (donors["base"].path / "generation_config.json").read_text()


def test_numbers_that_are_not_finite_leave_nothing(workshop, mix, tmp_path):
    donors = load_donors(workshop.donors("llama", "base"))
    plan = mix(donors.sites, {"base": 1e39})
    with pytest.raises(CandidateError, match="has NaN or infinite numbers"):
        built(plan, donors, tmp_path / "deep" / "out", threads=2)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(workshop, mix, tmp_path):
    donors = load_donors(workshop.donors("llama", "base"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        built(mix(donors.sites, {"base": 1.0}), donors, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_full_disk_leaves_nothing(workshop, mix, tmp_path):
    donors = load_donors(workshop.donors("llama", "base"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(RunError, match="out could not be written: .*File too large; nothing of it was kept"):
            built(mix(donors.sites, {"base": 1.0}), donors, tmp_path / "deep" / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "deep").iterdir()) == []
