"""Checkpoints built parameter by parameter hold what the live model holds."""

from __future__ import annotations

import json
import os
import resource
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolve.donors.donors import load_donors
from evolve.errors import CandidateError, DonorError, RunError, UsageError
from evolve.merge.folder import check_target
from evolve.merge.model import LiveModel
from evolve.merge.streaming import Options, build

_QUERY = "model.layers.1.self_attn.q_proj.weight"


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


@pytest.mark.parametrize("vocabulary", ["reference", "union"])
def test_an_adapter_beside_a_whole_model_file_and_an_aligned_donor(workshop, mix, tmp_path, vocabulary):
    spec = workshop.donors("llama", "base", "a")
    spec["aligned"] = {"align": "a", "to": "base"}
    spec["tuned"] = adapter(workshop, spec["a"])
    donors = load_donors(spec, vocabulary=vocabulary)
    plan = mix(donors.sites, {"base": 0.2, "a": 0.3, "aligned": 0.4, "tuned": 0.1})
    assert not torch.equal(donors["tuned"].tensors[_QUERY], donors["base"].tensors[_QUERY])
    assert same(built(plan, donors, tmp_path / "out"), live(plan, donors))


def adapter(workshop, other):
    """An adapter folder that also holds another model's weights, as some tools leave them."""
    folder = workshop.folder / "adapter"
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    prefix = f"base_model.model.{_QUERY.removesuffix('.weight')}"
    factors = {f"{prefix}.lora_A.weight": torch.ones(2, 32), f"{prefix}.lora_B.weight": torch.ones(32, 2)}
    save_file(factors, folder / "adapter_model.safetensors")
    shutil.copyfile(other / "model.safetensors", folder / "model.safetensors")
    return folder


def test_numbers_of_a_donor_that_are_not_finite_name_it(workshop, mix, tmp_path):
    spec = workshop.donors("llama", "base", "a")
    tensors = load_file(spec["a"] / "model.safetensors")
    tensors[_QUERY][3, 3] = float("nan")
    save_file(tensors, spec["a"] / "model.safetensors", metadata={"format": "pt"})
    donors = load_donors(spec, finite=False)
    with pytest.raises(DonorError, match=f"donor 'a': {_QUERY} holds NaN or infinite numbers; take another copy"):
        built(mix(donors.sites, {"base": 0.5, "a": 0.5}), donors, tmp_path / "out")


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"x cannot be made: .*file is a file; choose another name"):
        check_target(tmp_path / "file" / "deep" / "x")
    (tmp_path / "closed").mkdir(mode=0o500)
    if not os.access(tmp_path / "closed", os.W_OK):  # root may write anywhere
        with pytest.raises(UsageError, match=r"closed may not be written"):
            check_target(tmp_path / "closed" / "x")


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
