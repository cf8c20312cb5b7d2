from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from evolve.donors.donors import load_donors
from evolve.errors import CandidateError, DonorError
from evolve.merge.model import LiveModel
from evolve.plan.validate import validate


def _live(workshop, name, **changes):
    return LiveModel(load_donors(workshop.donors(name, "base", "ja", **changes)))


def _logits(model, length=12):
    ids = torch.arange(3, 3 + length)[None]
    with torch.inference_mode():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2"])
def test_each_parameter_is_the_merge_of_the_donors(workshop, mix, name):
    live = _live(workshop, name)
    plan = mix(live.sites, {"base": 0.25, "ja": 0.5})
    validate(plan, live.sites, live.donor_layers)
    live.apply(plan)
    parameters = dict(live.model.named_parameters())
    assert parameters.keys() == {site.name for site in live.sites}
    for site, parameter in parameters.items():
        expected = live.donors["base"].tensors[site] * 0.25 + live.donors["ja"].tensors[site] * 0.5
        assert torch.equal(parameter, expected), site


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2"])
def test_one_donor_alone_answers_like_its_checkpoint(workshop, mix, name):
    live = _live(workshop, name)
    live.apply(mix(live.sites, {"ja": 1.0}))
    checkpoint = AutoModelForCausalLM.from_pretrained(live.donors["ja"].path).eval()
    assert torch.equal(_logits(live.model), _logits(checkpoint))
    assert live.model.generation_config.eos_token_id == 2


def test_a_candidate_leaves_no_trace_in_the_next(workshop, mix):
    live = _live(workshop, "gemma2")
    plan = mix(live.sites, {"base": 0.5, "ja": 0.5})
    live.apply(plan)
    first = _logits(live.model)
    model = live.model
    live.apply(mix(live.sites, {"ja": -2.0}))
    live.apply(mix(live.sites, {"ja": 1.0}, [("merged", 1, 2.0), ("base", 0, -1.0)]))
    assert live.model is not model
    live.apply(mix(live.sites, {"base": 1.0}, [("merged", 2, 1.0), ("merged", 1, 1.0)] * 2))
    live.apply(plan)
    assert live.model is model
    assert torch.equal(_logits(live.model), first)


def test_donors_are_never_written_to(workshop, mix):
    live = _live(workshop, "llama")
    before = {name: tensor.clone() for name, tensor in live.donors["base"].tensors.items()}
    live.apply(mix(live.sites, {"base": 1.0}))
    live.apply(mix(live.sites, {"ja": 3.0}))
    assert all(torch.equal(live.donors["base"].tensors[name], tensor) for name, tensor in before.items())


def test_merged_numbers_are_rounded_once_into_bfloat16(workshop, mix):
    live = _live(workshop, "qwen2", dtype=torch.bfloat16)
    assert live.dtype == torch.bfloat16
    live.apply(mix(live.sites, {"base": 0.3, "ja": 0.7}))
    name = "model.layers.1.mlp.down_proj.weight"
    base, ja = (live.donors[donor].tensors[name].float() for donor in ("base", "ja"))
    assert torch.equal(live.model.get_parameter(name), (base * 0.3 + ja * 0.7).bfloat16())


def test_tied_heads_follow_the_embedding(workshop, mix):
    live = _live(workshop, "qwen2")
    live.apply(mix(live.sites, {"ja": 0.5}))
    assert live.model.lm_head.weight is live.model.model.embed_tokens.weight
    stack = [("merged", 0, 1.0)] * 5
    live.apply(mix(live.sites, {"ja": 0.5}, stack))
    assert live.model.lm_head.weight is live.model.model.embed_tokens.weight


def test_numbers_that_overflow_name_the_parameter(workshop, mix):
    live = _live(workshop, "llama")
    with pytest.raises(CandidateError, match=r"model\.embed_tokens\.weight has NaN or infinite numbers") as caught:
        live.apply(mix(live.sites, {"base": 1e39, "ja": 1.0}))
    assert caught.value.kind == "NotFinite"
    with pytest.raises(CandidateError, match="multiply up to inf"):
        live.apply(mix(live.sites, {"base": 1.0}, [("merged", 0, 1e200)] * 2))


def test_layer_types_travel_with_their_layers(workshop, mix):
    live = _live(workshop, "gemma2")
    live.apply(mix(live.sites, {"base": 1.0}, [("merged", n, 1.0) for n in (1, 1, 0, 2)]))
    assert live.model.config.layer_types == [
        "full_attention",
        "full_attention",
        "sliding_attention",
        "sliding_attention",
    ]
    assert live.model.config.num_hidden_layers == 4
    # The same depth with the layers' types exchanged is another model.
    live.apply(mix(live.sites, {"base": 1.0}, [("merged", n, 1.0) for n in (1, 0, 2)]))
    assert live.model.config.layer_types == ["full_attention", "sliding_attention", "sliding_attention"]
    plain = live.donors.reference.config.layer_types
    live.apply(mix(live.sites, {"base": 1.0}, [("merged", n, 1.0) for n in (0, 1, 2)]))
    assert live.model.config.layer_types == plain


def test_the_tokenizer_comes_from_the_named_donor(workshop):
    model = workshop.model("llama")
    bare = workshop.save(model, "bare", tokenizer=False)
    full = workshop.save(model, "full")
    donors = load_donors({"base": bare, "ja": full})
    with pytest.raises(DonorError, match=r'tokenizer in .*bare cannot be read .*tokenizer = "NAME"'):
        LiveModel(donors)
    live = LiveModel(donors, tokenizer="ja")
    assert live.tokenizer.eos_token_id == 2
    assert math.isfinite(live.tokenizer.vocab_size)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_donors_are_resident_on_the_gpu_and_merge_in_bfloat16(workshop, mix):
    donors = load_donors(workshop.donors("mistral", "base", "ja", dtype=torch.bfloat16), "cuda:0")
    live = LiveModel(donors, "cuda:0")
    live.apply(mix(live.sites, {"base": 0.3, "ja": 0.7}))
    name = "model.layers.1.mlp.down_proj.weight"
    base, ja = (donors[donor].tensors[name] for donor in ("base", "ja"))
    assert base.device.type == "cuda"
    assert torch.equal(live.model.get_parameter(name), (base.float() * 0.3 + ja.float() * 0.7).bfloat16())
