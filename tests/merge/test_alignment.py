from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from evolve.donors.adapters import WEIGHTS
from evolve.donors.donors import load_donors
from evolve.donors.matching import Heads, Permutations, axes_of, match
from evolve.errors import DonorError
from evolve.merge.model import LiveModel

_UP = "model.layers.1.mlp.up_proj.weight"
NAMES = ["llama", "mistral", "qwen2", "qwen3", "gemma2"]


def _shuffled(config, seed=0):
    """Random permutations of everything that may be permuted."""
    torch.manual_seed(seed)
    found = Permutations.identity(config)
    found.residual = torch.randperm(config.hidden_size)
    found.units = [torch.randperm(config.intermediate_size) for _ in found.units]
    for layer, heads in enumerate(found.heads):
        keys, each = torch.randperm(len(heads.keys)), len(heads.queries) // len(heads.keys)
        queries = torch.cat([key * each + torch.randperm(each) for key in keys])
        values = torch.stack([torch.randperm(heads.values.shape[1]) for _ in keys])
        found.heads[layer] = Heads(keys, queries, values)
    return found


def _permute(model, donors, seed=0):
    """Permutes a live copy of a donor's model in place."""
    found = _shuffled(donors.reference.config, seed)
    with torch.no_grad():
        for site in donors.sites:
            parameter = model.get_parameter(site.name)
            parameter.copy_(found.apply(site, parameter.clone()))
    return model


def _logits(model):
    with torch.inference_mode():
        return model(input_ids=torch.arange(3, 40)[None]).logits


def _answers(mix, donors, weights):
    live = LiveModel(donors)
    live.apply(mix(live.sites, weights))
    return _logits(live.model)


def _distance(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("name", NAMES)
def test_a_permuted_copy_computes_the_same_and_is_recovered_exactly(workshop, name):
    model = workshop.model(name)
    base = workshop.save(model, "base")
    before = _logits(model)
    other = workshop.save(_permute(model, load_donors({"base": base})), "other")
    torch.testing.assert_close(_logits(model), before, rtol=1e-4, atol=1e-4)
    donors = load_donors({"base": base, "other": other, "aligned": {"align": "other", "to": "base"}})
    moved = [site.name for site in donors.sites if not torch.equal(*_pair(donors, "base", "other", site.name))]
    assert len(moved) > len(donors.sites) // 2
    for site in donors.sites:
        assert torch.equal(*_pair(donors, "base", "aligned", site.name)), site.name
    assert donors.notes[-1].endswith("before the alignment, 0.000 after it")


def _pair(donors, one, other, site):
    return donors[one].tensors[site], donors[other].tensors[site]


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2"])
def test_an_aligned_fine_tune_averages_well_and_an_unaligned_one_badly(workshop, mix, name):
    model = workshop.model(name)
    base = workshop.save(model, "base")
    torch.manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * parameter.std() * torch.randn_like(parameter))
    tuned = workshop.save(model, "tuned")
    other = workshop.save(_permute(model, load_donors({"base": base})), "other")
    donors = load_donors({
        "base": base, "tuned": tuned, "other": other, "aligned": {"align": "other", "to": "base"},
    })  # fmt: skip
    aim = _answers(mix, donors, {"base": 0.5, "tuned": 0.5})
    aligned = _distance(_answers(mix, donors, {"base": 0.5, "aligned": 0.5}), aim)
    unaligned = _distance(_answers(mix, donors, {"base": 0.5, "other": 0.5}), aim)
    assert aligned < 0.01
    assert unaligned > 0.3
    assert torch.equal(*_pair(donors, "tuned", "aligned", "model.layers.0.mlp.down_proj.weight"))


def test_fine_tunes_of_one_base_are_left_as_they_are(workshop):
    model = workshop.model("llama")
    base = workshop.save(model, "base")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    donors = load_donors({"base": base, "ja": workshop.save(model, "ja"), "same": {"align": "ja", "to": "base"}})
    assert all(torch.equal(*_pair(donors, "ja", "same", site.name)) for site in donors.sites)
    assert "no permutation is closer to 'base' than none" in donors.notes[-1]


def test_models_without_a_common_ancestor_come_closer(workshop):
    donors = load_donors({**workshop.donors("llama", "base", "math"), "aligned": {"align": "math", "to": "base"}})
    words = donors.notes[-1].split()
    before, after = float(words[words.index("before") - 1]), float(words[words.index("after") - 1])
    assert 1.0 < after < before - 0.01


def test_heads_stay_in_their_groups(workshop):
    spec = workshop.donors("llama", "base", "math", num_attention_heads=8, num_key_value_heads=2)
    donors = load_donors(spec)
    found = match(donors["base"].tensors, donors["math"].tensors, donors.sites, donors.reference.config)
    for heads in found.heads:
        assert sorted(heads.queries.tolist()) == list(range(8))
        assert torch.equal(heads.queries.reshape(2, 4) // 4, heads.keys[:, None].expand(2, 4))


def test_it_is_prepared_once(workshop, monkeypatch):
    spec = {**workshop.donors("llama", "base", "math", dtype=torch.bfloat16)}
    spec["aligned"] = {"align": "math", "to": "base"}
    said = []
    first = load_donors(spec, said=said.append)
    assert said == ["aligning donor 'aligned' with 'base' on cpu; it is kept in the cache"]
    folders = [path for path in (Path(os.environ["EVOLVE_CACHE"]) / "aligned").iterdir() if path.is_dir()]
    assert folders == [first["aligned"].path]
    assert first["aligned"].tensors["lm_head.weight"].dtype == torch.bfloat16
    monkeypatch.setattr("evolve.donors.alignment.match", lambda *_: pytest.fail("matched again"))
    second = load_donors(spec, said=pytest.fail)
    assert second["aligned"].digest == first["aligned"].digest not in (first["math"].digest, first["base"].digest)
    assert second.notes == first.notes


def test_the_vocabulary_of_the_whole_merge_counts(workshop):
    long = workshop.donors("llama", "ja", "math", vocab_size=66)
    long["aligned"] = {"align": "math", "to": "ja"}
    base = workshop.save(workshop.model("llama", 5), "base")
    assert load_donors(long)["aligned"].tensors["lm_head.weight"].shape == (66, 32)
    assert load_donors({"base": base, **long})["aligned"].tensors["lm_head.weight"].shape == (64, 32)
    tied = workshop.save(workshop.model("llama", 6, vocab_size=66, tie_word_embeddings=True), "tied")
    spec = {"ja": long["ja"], "tied": tied, "aligned": {"align": "tied", "to": "ja"}}
    folder = load_donors(spec)["aligned"].path
    logits = _logits(AutoModelForCausalLM.from_pretrained(folder))
    torch.testing.assert_close(logits, _logits(AutoModelForCausalLM.from_pretrained(tied)), rtol=1e-4, atol=1e-4)


def test_what_is_prepared_is_a_checkpoint_of_the_same_function(workshop):
    model = workshop.model("gemma2", 1)
    spec = {"base": workshop.donors("gemma2", "base")["base"], "math": workshop.save(model, "math")}
    folder = load_donors({**spec, "aligned": {"align": "math", "to": "base"}})["aligned"].path
    aligned = AutoModelForCausalLM.from_pretrained(folder)
    assert not torch.equal(aligned.get_parameter(_UP), model.get_parameter(_UP))
    torch.testing.assert_close(_logits(aligned), _logits(model), rtol=1e-4, atol=1e-4)


def test_a_damaged_preparation_says_what_to_remove(workshop):
    spec = {**workshop.donors("llama", "base", "math"), "aligned": {"align": "math", "to": "base"}}
    folder = load_donors(spec)["aligned"].path
    file = folder / "layer-00001.safetensors"
    assert set(load_file(file))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(
        DonorError, match=r"donor 'aligned': .*layer-00001\.safetensors is damaged .*; remove the folder"
    ):
        load_donors(spec)


def test_an_adapter_can_be_aligned_and_an_aligned_donor_not_adapted(workshop, tmp_path):
    spec = workshop.donors("llama", "base", "math")
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    name = "base_model.model.model.layers.1.mlp.up_proj.lora_"
    save_file({f"{name}A.weight": torch.randn(2, 32), f"{name}B.weight": torch.randn(48, 2)}, folder / WEIGHTS)
    spec["tuned"] = {"adapter": str(folder), "on": "math"}
    spec["aligned"] = {"align": "tuned", "to": "base"}
    donors = load_donors(spec)
    site = "model.layers.1.mlp.up_proj.weight"
    tuned, aligned = _pair(donors, "tuned", "aligned", site)
    assert not torch.equal(tuned, aligned)
    assert torch.equal(tuned.flatten().sort().values, aligned.flatten().sort().values)
    spec["worn"] = {"adapter": str(folder), "on": "aligned"}
    with pytest.raises(DonorError, match=r"donor 'worn' .*: 'aligned' is an aligned donor, whose units are in another"):
        load_donors(spec)


def test_an_unknown_role_is_refused(workshop):
    site = load_donors(workshop.donors("llama", "base")).sites[3]
    assert axes_of(site)
    with pytest.raises(DonorError, match=r"cannot be aligned: the symmetries of the role 'router' are unknown; "):
        axes_of(replace(site, role="router"))
