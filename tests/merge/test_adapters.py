from __future__ import annotations

import json
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from evolve.donors.adapters import AdaptedTensors
from evolve.donors.donors import load_donors
from evolve.errors import DonorError
from evolve.merge.model import LiveModel

_ATTENTION = ["q_proj", "v_proj"]
_ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Bench:
    """A base model and adapters trained on it, as peft writes them."""

    def __init__(self, workshop, name="llama", **changes):
        self.workshop = workshop
        self.base = workshop.save(workshop.model(name, **changes), "base")

    def adapter(self, name, seed=7, **settings):
        """The folder of an adapter whose weights are all random, and the merged model of peft."""
        torch.manual_seed(seed)
        with warnings.catch_warnings():  # peft uses what transformers calls deprecated
            warnings.simplefilter("ignore")
            model = get_peft_model(AutoModelForCausalLM.from_pretrained(self.base), LoraConfig(**settings))
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(0.1 * torch.randn_like(parameter))
            folder = self.workshop.folder / name
            model.save_pretrained(folder)
            return folder, model.merge_and_unload()


@pytest.fixture
def bench(workshop):
    return Bench(workshop)


def _edit_config(folder, **changes):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _edit_tensors(folder, change):
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(change(tensors), folder / "adapter_model.safetensors")


def _refused(spec, match):
    with pytest.raises(DonorError, match=match) as caught:
        load_donors(spec)
    assert "\n" not in str(caught.value)


def _same(donor, merged):
    expected = dict(merged.named_parameters())
    assert donor.tensors.keys() == expected.keys()
    for site, tensor in donor.tensors.items():
        torch.testing.assert_close(tensor, expected[site].detach(), rtol=1e-5, atol=1e-6, msg=site)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": _ATTENTION, "r": 4, "lora_alpha": 16},
        {"target_modules": _ALL, "r": 4, "lora_alpha": 3, "use_rslora": True},
        {
            "target_modules": _ALL,
            "r": 4,
            "rank_pattern": {"q_proj": 2, r"layers\.[12]\.mlp\.up_proj": 6, "model.layers.0.self_attn.v_proj": 3},
            "alpha_pattern": {"mlp.down_proj": 5, "o_proj": 32},
        },
        {"target_modules": ["q_proj"], "fan_in_fan_out": True, "modules_to_save": ["up_proj"]},
        {"target_modules": ["q_proj", "lm_head"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["embed_tokens", "o_proj", "lm_head"]},
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "init_lora_weights": "gaussian"},
    ],
    ids=["plain", "rank-stabilised", "patterns", "whole modules", "whole embedding", "embedding", "one layer"],
)
def test_an_adapter_is_what_peft_merges(bench, settings):
    folder, merged = bench.adapter("ja", **settings)
    donors = load_donors({"base": bench.base, "ja": {"adapter": str(folder), "on": "base"}})
    _same(donors["ja"], merged)
    changed = [
        site for site, tensor in donors["ja"].tensors.items() if not torch.equal(tensor, donors["base"].tensors[site])
    ]
    assert changed
    assert donors["ja"].parameters == donors["base"].parameters
    assert donors["ja"].digest != donors["base"].digest


def test_a_folder_with_an_adapter_is_one_on_the_base(bench):
    folder, merged = bench.adapter("ja", target_modules=_ATTENTION)
    donors = load_donors({"ja": folder, "base": bench.base})
    assert list(donors) == ["ja", "base"]
    assert donors.reference.name == "base"
    _same(donors["ja"], merged)


def test_adapters_stand_on_adapters_and_on_other_donors(bench, workshop):
    folder, _ = bench.adapter("ja", target_modules=_ATTENTION, r=2)
    math = workshop.save(workshop.model("llama", seed=1), "math")
    donors = load_donors({
        "base": bench.base,
        "twice": {"adapter": str(folder), "on": "ja"},
        "ja": str(folder),
        "math": math,
        "math_ja": {"adapter": str(folder), "on": "math"},
    })  # fmt: skip
    site = "model.layers.1.self_attn.q_proj.weight"
    base, math, ja = (donors[name].tensors[site] for name in ("base", "math", "ja"))
    torch.testing.assert_close(donors["twice"].tensors[site] - ja, ja - base)
    torch.testing.assert_close(donors["math_ja"].tensors[site] - math, ja - base)
    assert len({donor.digest for donor in donors.values()}) == 5


def test_many_adapters_stay_factored(bench):
    spec = {"base": bench.base}
    for number in range(6):
        folder, _ = bench.adapter(f"a{number}", seed=number, target_modules=_ALL, r=2)
        spec[f"a{number}"] = folder
    donors = load_donors(spec)
    rank, width, inner, kv, layers = 2, 32, 48, 16, 3
    per_layer = rank * (4 * 2 * width - 2 * (width - kv) + 3 * (width + inner))
    for name in spec:
        if name == "base":
            continue
        tensors = donors[name].tensors
        assert isinstance(tensors, AdaptedTensors)
        assert sum(tensor.numel() for tensor in tensors.stored) == layers * per_layer
        site = "model.layers.0.mlp.up_proj.weight"
        assert tensors[site] is not tensors[site]
        norm = "model.norm.weight"
        assert tensors[norm] is donors["base"].tensors[norm]


def test_an_unread_adapter_is_not_computed(bench, monkeypatch):
    folder, _ = bench.adapter("ja", target_modules=_ATTENTION)
    donors = load_donors({"base": bench.base, "ja": folder})
    monkeypatch.setattr(torch, "addmm", lambda *args, **options: pytest.fail("computed"))
    tensors = donors.tensors_of("model.layers.0.self_attn.q_proj.weight")
    assert set(tensors) == {"base", "ja"}
    assert tensors["base"] is tensors["base"]


def test_a_merge_reads_adapters_like_any_donor(bench, mix):
    folder, merged = bench.adapter("ja", target_modules=_ATTENTION)
    donors = load_donors({"base": bench.base, "ja": folder})
    live = LiveModel(donors)
    live.apply(mix(live.sites, {"base": 0.5, "ja": 0.5}, [("merged", 0, 1.0), ("ja", 1, 1.0)]))
    site = "model.layers.0.self_attn.v_proj.weight"
    expected = 0.5 * donors["base"].tensors[site] + 0.5 * merged.get_parameter(site)
    torch.testing.assert_close(live.model.get_parameter(site), expected.detach())
    site = "model.layers.1.self_attn.v_proj.weight"
    torch.testing.assert_close(live.model.get_parameter(site), merged.get_parameter(site).detach())


def test_a_longer_vocabulary_of_the_adapters_model_is_cut(workshop):
    bench = Bench(workshop, vocab_size=66)
    folder, merged = bench.adapter("ja", target_modules=["lm_head", "embed_tokens"], modules_to_save=["gate_proj"])
    base = workshop.save(workshop.model("llama", seed=3), "short")
    donors = load_donors({"base": base, "long": bench.base, "ja": {"adapter": str(folder), "on": "long"}})
    for site in ("lm_head.weight", "model.embed_tokens.weight"):
        torch.testing.assert_close(donors["ja"].tensors[site], merged.get_parameter(site).detach()[:64])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"use_dora": True}, r"donor 'ja': .* uses DoRA \(use_dora\); merge it into its base with peft's"),
        ({"bias": "all"}, "was trained with bias = 'all'"),
        ({"peft_type": "IA3"}, "holds a IA3 adapter; only LORA can be read"),
        ({"init_lora_weights": "pissa"}, "began with init_lora_weights = 'pissa', which changes the base's weights"),
        ({"layer_replication": [[0, 2]]}, "uses replicated layers"),
        ({"trainable_token_indices": [3]}, "uses trainable tokens"),
        ({"lora_bias": True}, "uses biases of its own"),
        ({"r": 5}, r"factors of .*q_proj\.weight have rank 8, adapter_config\.json says 5"),
        ({"lora_alpha": None}, r"adapter_config\.json is no LoRA configuration"),
        ({"rank_pattern": {"(": 2}}, r"adapter_config\.json is no LoRA configuration"),
    ],
)
def test_other_adapters_are_refused(bench, changes, match):
    folder, _ = bench.adapter("ja", target_modules=_ATTENTION)
    _edit_config(folder, **changes)
    _refused({"base": bench.base, "ja": folder}, match)


def test_tensors_that_do_not_fit_are_named(bench, workshop):
    folder, _ = bench.adapter("ja", target_modules=_ATTENTION)
    spec = {"base": bench.base, "ja": folder}
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    whole = load_file(folder / "adapter_model.safetensors")

    def refused(change, match):
        _edit_tensors(folder, lambda _: change(dict(whole)))
        _refused(spec, match)

    def renamed(tensors, name):
        tensors[name] = tensors.pop(key)
        return tensors

    refused(
        lambda t: renamed(t, key.replace("self_attn.q_proj", "mixer.in_proj")),
        r"lora_A\.weight in .* changes model\.layers\.0\.mixer\.in_proj\.weight, which the model has not",
    )
    refused(lambda t: renamed(t, key.replace("lora_A.weight", "ia3_l")), r"ia3_l in .* is no part of a LoRA adapter")
    refused(
        lambda t: {**t, key: t[key][:, :5].clone()}, r"changes .*q_proj\.weight of shape 32 x 5, 'base' has 32 x 32"
    )
    refused(lambda t: {**t, key: t[key][:3].clone()}, r"factors of .*q_proj\.weight have the shapes .* do not fit")
    refused(lambda t: {name: x for name, x in t.items() if name != key}, r"one half of the change of .*q_proj\.weight")
    refused(lambda t: {**t, key: t[key].double()}, r"lora_A\.weight in .* is torch\.float64")
    refused(lambda t: {**t, key: t[key] * float("nan")}, r"donor 'ja': .*q_proj\.lora_A\.weight in .* holds NaN")
    refused(lambda t: {"x": t[key]}, "x in .* is no part of a LoRA adapter")
    refused(lambda t: {}, "holds no tensors")


def test_damaged_and_missing_files_are_refused(bench):
    folder, _ = bench.adapter("ja", target_modules=_ATTENTION)
    spec = {"base": bench.base, "ja": folder}
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    _refused(spec, r"donor 'ja': .*adapter_model\.safetensors is damaged .* donors\.ja = \"path\"")
    weights.unlink()
    _refused(spec, r"adapter_model\.safetensors does not exist")
    (folder / "adapter_model.bin").write_bytes(b"pickle")
    _refused(spec, r"only pickle weights .* python -c \"import torch, safetensors\.torch as s; s\.save_file")
    (folder / "adapter_config.json").write_text("{")
    _refused(spec, r"adapter_config\.json is no adapter configuration")
    (folder / "adapter_config.json").unlink()
    _refused({"base": bench.base, "ja": {"adapter": str(folder), "on": "base"}}, r"adapter_config\.json does not exist")


def test_an_adapter_needs_its_model(bench):
    folder, _ = bench.adapter("ja", target_modules=_ATTENTION)
    _refused(
        {"mother": bench.base, "ja": folder}, r"donor 'ja' \(adapter .* on base\) needs a donor 'base'; the donors"
    )
    _refused({"base": folder}, "donor 'base': .* holds a LoRA adapter; name the model that it was trained on")


def test_tied_embeddings_cannot_be_adapted(workshop):
    bench = Bench(workshop, "qwen2")
    folder, _ = bench.adapter("ja", target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    _refused({"base": bench.base, "ja": folder}, "changes the embedding or the head of a model that ties them")


def test_another_base_on_the_hub_is_noted(bench, tmp_path, monkeypatch):
    folder, _ = bench.adapter("ja", target_modules=_ATTENTION)
    repo = tmp_path / "hub" / "models--org--tiny"
    (repo / "snapshots").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc123")
    bench.base.rename(repo / "snapshots" / "abc123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    _edit_config(folder, base_model_name_or_path="org/other")
    assert load_donors({"base": "org/tiny", "ja": folder}).notes == (
        "donor 'ja' was trained on org/other, 'base' is org/tiny",
    )
    _edit_config(folder, base_model_name_or_path="org/tiny")
    assert load_donors({"base": "org/tiny", "ja": folder}).notes == ()
