from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from evolve.donors.digest import is_finite
from evolve.donors.donors import load_donors
from evolve.errors import DonorError


def _edit_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _edit_json(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _refused(spec, match: str) -> None:
    with pytest.raises(DonorError, match=match) as caught:
        load_donors(spec)
    assert "\n" not in str(caught.value)


def test_a_sharded_checkpoint_loads_like_a_single_file(workshop):
    model = workshop.model("llama")
    single = workshop.save(model, "single")
    sharded = workshop.save(model, "sharded", max_shard_size="20KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 2
    donors = load_donors({"base": single, "ja": sharded})
    for name, tensor in donors["base"].tensors.items():
        assert torch.equal(tensor, donors["ja"].tensors[name])
    assert donors.notes == ()
    assert donors["ja"].layers == 3
    assert donors["ja"].parameters == sum(parameter.numel() for parameter in model.parameters())


def test_the_donor_called_base_is_the_reference_else_the_first(workshop):
    spec = workshop.donors("llama", "ja", "base", "math")
    assert load_donors(spec).reference.name == "base"
    del spec["base"]
    assert load_donors(spec).reference.name == "ja"


def test_the_digest_follows_the_contents_not_the_place(workshop):
    model = workshop.model("llama")
    folders = [workshop.save(model, name) for name in ("one", "two")]
    one, two = (load_donors({"base": folder})["base"].digest for folder in folders)
    assert one == two
    before = (folders[0] / "model.safetensors").stat()
    _edit_tensors(folders[0], lambda tensors: tensors["model.norm.weight"].add_(1))
    os.utime(folders[0] / "model.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
    assert load_donors({"base": folders[0]})["base"].digest != one


def test_digests_are_remembered_and_survive_a_damaged_memory(workshop, monkeypatch):
    folder = workshop.save(workshop.model("llama"), "one")
    digest = load_donors({"base": folder})["base"].digest
    entries = list((Path(os.environ["EVOLVE_CACHE"]) / "digests").iterdir())
    assert len(entries) == 2
    with monkeypatch.context() as patch:
        patch.setattr("evolve.donors.digest._hash", lambda path: pytest.fail(f"hashed {path} again"))
        assert load_donors({"base": folder})["base"].digest == digest
    for entry in entries:
        entry.write_text('["cut')
    assert load_donors({"base": folder})["base"].digest == digest


def test_a_missing_folder_says_how_to_name_another():
    with pytest.raises(DonorError) as caught:
        load_donors({"ja": "/nowhere/ja"})
    assert str(caught.value) == (
        "donor 'ja': /nowhere/ja is no folder; point to a local copy: "
        'donors.ja = "path" in problem.toml or --donor ja=PATH'
    )


def test_a_missing_hub_model_gives_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    _refused({"ja": "org/model-7b"}, re.escape(
        "donor 'ja': org/model-7b is neither a folder nor in the Hugging Face cache; "
        'get it with `hf download org/model-7b` or '
        'point to a local copy: donors.ja = "path" in problem.toml or --donor ja=PATH'
    ))  # fmt: skip
    _refused({"ja": "org/one@refs/pr/3", "math": "org/two"}, re.escape(
        "donors 'ja' (org/one@refs/pr/3), 'math' (org/two) are neither folders nor in the Hugging Face cache; "
        "get them with `hf download org/one --revision refs/pr/3 && hf download org/two` or"
    ))  # fmt: skip


def test_a_cached_hub_model_is_found_offline(workshop, tmp_path, monkeypatch):
    folder = workshop.save(workshop.model("llama"), "saved")
    repo = tmp_path / "hub" / "models--org--tiny"
    (repo / "snapshots").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc123")
    folder.rename(repo / "snapshots" / "abc123")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert load_donors({"base": "org/tiny"})["base"].path == repo / "snapshots" / "abc123"
    (repo / "snapshots" / "abc123" / "model.safetensors").unlink()
    _refused(
        {"base": "org/tiny"}, r"donor 'base': .*model\.safetensors does not exist; get it with `hf download org/tiny`"
    )


def test_other_shapes_name_donor_site_and_both_shapes(workshop):
    spec = workshop.donors("llama", "base")
    spec["ja"] = workshop.save(workshop.model("llama", intermediate_size=40), "ja")
    _refused(spec, r"donor 'ja': model\.layers\.0\.mlp\.gate_proj\.weight has shape 40 x 32, 'base' has 48 x 32")


def test_other_layer_counts_head_counts_and_architectures_are_refused(workshop):
    base = workshop.donors("llama", "base")["base"]
    deeper = workshop.save(workshop.model("llama", num_hidden_layers=4), "deeper")
    _refused({"base": base, "ja": deeper}, "donor 'ja' has 4 layers, 'base' has 3")
    other = workshop.save(workshop.model("mistral"), "other")
    _refused({"base": base, "ja": other}, "donor 'ja' is a mistral model, 'base' a llama model")
    heads = workshop.save(workshop.model("llama", num_attention_heads=2, num_key_value_heads=1), "heads")
    _refused({"base": base, "ja": heads}, "donor 'ja' has num_attention_heads = 2, 'base' has 4")


def test_a_smaller_vocabulary_is_refused_and_a_larger_one_trimmed(workshop):
    base = workshop.donors("llama", "base")["base"]
    smaller = workshop.save(workshop.model("llama", vocab_size=60), "smaller")
    _refused(
        {"base": base, "ja": smaller}, r"donor 'ja': model\.embed_tokens\.weight has 60 vocabulary rows, 'base' has 64"
    )
    larger = workshop.save(workshop.model("llama", vocab_size=66), "larger")
    donors = load_donors({"base": base, "ja": larger})
    assert donors["ja"].tensors["lm_head.weight"].shape == (64, 32)
    assert donors.notes == (
        "donor 'ja': the last 2 of 66 rows of model.embed_tokens.weight are left out",
        "donor 'ja': the last 2 of 66 rows of lm_head.weight are left out",
    )


def test_another_tokenizer_is_refused_and_a_renamed_token_noted(workshop):
    spec = workshop.donors("llama", "base", "ja")
    file = spec["ja"] / "tokenizer.json"
    table = json.loads(file.read_text())
    vocabulary = table["model"]["vocab"]
    letters = [token for token in vocabulary if len(token) == 1]
    table["model"]["vocab"] = {
        **vocabulary,
        **dict(zip(letters, [vocabulary[t] for t in reversed(letters)], strict=True)),
    }
    file.write_text(json.dumps(table))
    _refused(spec, "donor 'ja' has another vocabulary than 'base': .* of 64 tokens differ .token 4 is .*one tokenizer")
    assert load_donors({"base": spec["base"]}).notes == ()


def test_differing_settings_are_noted(workshop):
    base = workshop.donors("llama", "base")["base"]
    other = workshop.save(workshop.model("llama", rms_norm_eps=1e-4), "other")
    (note,) = load_donors({"base": base, "ja": other}).notes
    assert note == "donor 'ja' has rms_norm_eps = 0.0001; the merged model uses 1e-06 of 'base'"


def test_missing_and_extra_tensors_are_named(workshop):
    spec = workshop.donors("llama", "base", "ja")
    _edit_tensors(spec["ja"], lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    _refused(spec, r"donor 'ja' in .* lacks model\.layers\.1\.mlp\.up_proj\.weight")
    _edit_tensors(spec["base"], lambda tensors: tensors.update({"model.vision.weight": torch.zeros(2)}))
    _refused({"base": spec["base"]}, r"donor 'base' in .* has model\.vision\.weight, unknown to 'base'")


def test_stored_rotary_buffers_are_ignored(workshop):
    spec = workshop.donors("llama", "base")
    _edit_tensors(
        spec["base"], lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)})
    )
    assert len(load_donors(spec).sites) == len(load_donors(spec)["base"].tensors)


def test_tied_and_untied_heads(workshop):
    untied = workshop.save(workshop.model("llama"), "untied")
    tied = workshop.save(workshop.model("llama", seed=1, tie_word_embeddings=True), "tied")
    donors = load_donors({"base": untied, "ja": tied})
    assert torch.equal(donors["ja"].tensors["lm_head.weight"], donors["ja"].tensors["model.embed_tokens.weight"])
    _refused({"base": tied, "ja": untied}, r"donor 'ja' has a lm_head\.weight of its own, but 'base' ties the head")
    _edit_tensors(
        tied, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    )
    assert "lm_head.weight" not in load_donors({"base": tied})["base"].tensors


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_found(workshop, wrong):
    spec = workshop.donors("llama", "base", "ja", dtype=torch.bfloat16)
    _edit_tensors(spec["ja"], lambda tensors: tensors["model.layers.1.mlp.up_proj.weight"][3].fill_(wrong))
    _refused(
        spec,
        r"donor 'ja': model\.layers\.1\.mlp\.up_proj\.weight in .* holds NaN or infinite numbers; take another copy",
    )
    assert not load_donors(spec, finite=False)["ja"].tensors["model.layers.1.mlp.up_proj.weight"].isfinite().all()


def test_a_file_is_searched_for_them_once(workshop, monkeypatch):
    spec = workshop.donors("llama", "base")
    load_donors(spec)
    with monkeypatch.context() as patch:
        patch.setattr("evolve.donors.digest.is_finite", lambda tensor: pytest.fail("searched again"))
        load_donors(spec)
    before = (spec["base"] / "model.safetensors").stat()
    _edit_tensors(spec["base"], lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    os.utime(spec["base"] / "model.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
    _refused(spec, r"model\.norm\.weight in .* holds NaN")


def test_finite_numbers_may_be_large():
    assert is_finite(torch.tensor([3.3e38, 3.3e38]))
    assert is_finite(torch.tensor([-3.3e38, 3.3e38], dtype=torch.bfloat16))
    assert not is_finite(torch.tensor([0.0, float("nan")], dtype=torch.float16))
    assert not is_finite(torch.tensor([0.0, -float("inf")]))
    assert is_finite(torch.empty(0))


def test_pickles_are_refused_with_the_command_that_converts_them(workshop):
    spec = workshop.donors("llama", "base")
    folder = spec["base"]
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        DonorError, match=r"has only pickle weights \(pytorch_model\.bin\), which can run code"
    ) as caught:
        load_donors(spec)
    command = str(caught.value).split('python -c "')[1].removesuffix('"')
    subprocess.run([sys.executable, "-c", command], check=True, capture_output=True)
    assert len(load_donors({"base": f"{folder}-safetensors"}).sites) == len(dict(model.named_parameters()))


def test_quantised_and_unknown_models_are_refused(workshop):
    spec = workshop.donors("llama", "base")
    config = spec["base"] / "config.json"
    _edit_json(config, quantization_config={"quant_method": "gptq"})
    _refused(spec, "donor 'base': .* is quantised; take the unquantised model")
    _edit_json(config, quantization_config=None, model_type="mamba")
    _refused(spec, "donor 'base': the architecture 'mamba' is not supported; supported are llama")


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"model_type": null, "hidden_size": "x"}'])
def test_broken_configurations_are_refused(workshop, text):
    spec = workshop.donors("llama", "base")
    config = spec["base"] / "config.json"
    config.write_text(text)
    _refused(spec, r"donor 'base': (.*config\.json is no model configuration|the architecture 'None')")
    config.write_text('{"model_type": "llama", "hidden_size": "wide", "num_attention_heads": 4}')
    _refused(spec, r"donor 'base': .*config\.json cannot be read")
    config.unlink()
    _refused(spec, r"donor 'base': .*config\.json does not exist; point to a local copy")
    (spec["base"] / "adapter_config.json").write_text("{}")
    _refused(spec, "donor 'base': .* holds a LoRA adapter; name the model that it was trained on")


@pytest.mark.parametrize("kept", [0, 5, 1000, -1], ids=["empty", "no header", "half a header", "half a body"])
def test_cut_files_are_refused(workshop, kept):
    spec = workshop.donors("llama", "base", "ja")
    file = spec["ja"] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    _refused(spec, r"donor 'ja': .*model\.safetensors is damaged .*point to a local copy: donors\.ja")
    file.unlink()
    _refused(spec, r"donor 'ja': .*model\.safetensors does not exist")


def test_an_index_must_tell_the_truth(workshop):
    folder = workshop.save(workshop.model("llama"), "sharded", max_shard_size="20KB")
    index = folder / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    files = sorted(set(table["weight_map"].values()))
    moved = {**table["weight_map"], "model.norm.weight": files[0]}
    index.write_text(json.dumps({**table, "weight_map": moved}))
    _refused(
        {"base": folder}, rf"donor 'base': model\.norm\.weight cannot be read from .*{files[0]} .*point to a local"
    )
    index.write_text(json.dumps(table))
    (folder / files[1]).unlink()
    _refused({"base": folder}, rf"donor 'base': .*{files[1]} does not exist; point to a local copy")
    index.write_text('{"weight_map"')
    _refused({"base": folder}, r"index\.json is damaged")
    index.write_text('{"weight_map": []}')
    _refused({"base": folder}, r"index\.json is damaged")


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        (torch.int8, "so take the unquantised model"),
        (torch.int64, "so take the unquantised model"),
        (torch.float8_e4m3fn, "so take the unquantised model"),
        (torch.float64, r"so save it again with model\.to\(torch\.float32\)\.save_pretrained\(FOLDER\)"),
    ],
)
def test_other_types_of_numbers_are_refused(workshop, dtype, remedy):
    spec = workshop.donors("llama", "base", "ja")
    _edit_tensors(spec["ja"], lambda tensors: tensors.update({"model.norm.weight": torch.ones(32).to(dtype)}))
    _refused(
        spec,
        rf"donor 'ja': model\.norm\.weight in .* is {dtype}; only float32, float16 and bfloat16 .*merged, {remedy}",
    )


def test_types_may_differ_between_donors_and_are_noted(workshop):
    base = workshop.save(workshop.model("llama", dtype=torch.bfloat16), "base")
    ja = workshop.save(workshop.model("llama", 1, dtype=torch.float16), "ja")
    donors = load_donors({"base": base, "ja": ja})
    assert donors.notes == ("donor 'ja' is stored in float16, 'base' in bfloat16; merges are computed in float32",)


def test_weights_that_contradict_their_own_configuration(workshop):
    base = workshop.donors("llama", "base")["base"]
    _edit_json(base / "config.json", intermediate_size=40)
    _refused({"base": base}, r"has shape 48 x 32, its config\.json says 40 x 32; its files do not belong together")
    _edit_json(base / "config.json", intermediate_size=48, vocab_size=70)
    _refused({"base": base}, r"has 64 vocabulary rows, its config\.json says 70; its files do not belong together")


def test_an_index_that_leaves_the_folder_is_refused(workshop):
    folder = workshop.save(workshop.model("llama"), "sharded", max_shard_size="20KB")
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    _refused({"base": folder}, "names a file outside its folder")


def test_no_donors():
    _refused({}, "the problem names no donors")
