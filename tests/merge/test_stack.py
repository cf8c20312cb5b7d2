from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from evolve.donors.donors import load_donors
from evolve.donors.sites import ARCHITECTURES
from evolve.errors import InvalidPlan
from evolve.merge.model import LiveModel
from evolve.merge.stack import cumulative_scales, fold

STACKS = {
    "scaled": [("merged", 0, 0.5), ("merged", 1, 3.0), ("merged", 2, 0.25)],
    "negative": [("merged", 0, -0.5), ("merged", 1, 2.0), ("merged", 2, -1.5)],
    "odd sign": [("merged", 0, 1.0), ("merged", 1, -1.0), ("merged", 2, 1.0)],
    "repeated and reordered": [("merged", 1, 1.5), ("merged", 0, 1.0), ("merged", 1, -0.7), ("merged", 1, 0.9)],
    "donor layers": [("merged", 0, 1.0), ("ja", 2, -1.2), ("base", 1, 0.8), ("merged", 2, 1.1), ("ja", 0, 1.0)],
}
# The folded model sees another epsilon inside its norms; with this one the difference is below float64's own noise.
TINY_EPSILON = 1e-24


def _explicit(workshop, name, donors, weights, stack):
    """The same stack as a model of unfolded layers whose inputs are multiplied as they arrive."""
    merged = {
        site.name: sum(donors[donor].tensors[site.name].double() * weight for donor, weight in weights.items())
        for site in donors.sites
    }
    config = workshop.config(name, num_hidden_layers=len(stack), rms_norm_eps=TINY_EPSILON)
    own = workshop.config(name)
    if getattr(own, "layer_types", None):
        config.layer_types = [own.layer_types[layer] for _, layer, _ in stack]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
    state = model.state_dict()
    for key in state:
        if ".layers." in key:
            position, rest = key.split(".layers.")[1].split(".", 1)
            source, layer, _ = stack[int(position)]
            tensors = merged if source == "merged" else donors[source].tensors
            state[key] = tensors[f"model.layers.{layer}.{rest}"].double()
        elif key in merged:
            state[key] = merged[key]
    model.load_state_dict(state)
    if config.tie_word_embeddings:
        model.tie_weights()
    for layer, (_, _, scale) in zip(model.model.layers, stack, strict=True):
        layer.register_forward_pre_hook(lambda module, args, scale=scale: (args[0] * scale, *args[1:]))
    return model


@pytest.mark.parametrize("shape", STACKS)
@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2"])
def test_folded_scales_compute_the_scaled_forward_pass(workshop, mix, name, shape):
    stack, weights = STACKS[shape], {"base": 0.25, "ja": 0.75}
    donors = load_donors(workshop.donors(name, "base", "ja", rms_norm_eps=TINY_EPSILON))
    live = LiveModel(donors, dtype=torch.float64)
    live.apply(mix(live.sites, weights, stack))
    ids = torch.randint(3, workshop.vocabulary, (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        folded = live.model(input_ids=ids).logits
        expected = _explicit(workshop, name, donors, weights, stack)(input_ids=ids).logits
    assert expected.std() > 0.01
    # transformers computes the norms of a float64 model in float32, hence not 1e-12.
    torch.testing.assert_close(folded, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_wrong_scale_would_be_seen(workshop, mix, name):
    donors = load_donors(workshop.donors(name, "base", "ja", rms_norm_eps=TINY_EPSILON))
    live = LiveModel(donors, dtype=torch.float64)
    live.apply(mix(live.sites, {"base": 1.0}, STACKS["scaled"]))
    ids = torch.arange(3, 19)[None]
    other = [(model, layer, scale * 1.01) for model, layer, scale in STACKS["scaled"]]
    with torch.inference_mode():
        expected = _explicit(workshop, name, donors, {"base": 1.0}, other)(input_ids=ids).logits
        assert (live.model(input_ids=ids).logits - expected).abs().max() > 1e-3


def test_biases_of_the_projection_that_ends_a_branch_are_divided(workshop, mix):
    donors = load_donors(workshop.donors("llama", "base", "ja", attention_bias=True, mlp_bias=True))
    live = LiveModel(donors)
    live.apply(mix(live.sites, {"base": 1.0}, [("merged", n, s) for n, s in ((0, 2.0), (1, -4.0), (2, 1.0))]))
    base = donors["base"].tensors
    parameters = dict(live.model.named_parameters())
    for module in ("self_attn.o_proj", "mlp.down_proj"):
        for kind in ("weight", "bias"):
            name = f"model.layers.1.{module}.{kind}"
            assert torch.equal(parameters[name], base[name] / -8.0)
    assert torch.equal(parameters["model.layers.1.mlp.up_proj.bias"], base["model.layers.1.mlp.up_proj.bias"])
    assert torch.equal(parameters["model.norm.weight"], -base["model.norm.weight"])


def test_signs_of_offset_norms():
    weight = torch.tensor([0.5, -0.25])
    gemma = ARCHITECTURES["gemma2"]
    assert torch.equal(fold(weight, "input_norm", -3.0, gemma), -2 - weight)
    assert torch.equal(fold(weight, "post_norm", 2.0, gemma), (1 + weight) / 2 - 1)
    assert torch.equal(fold(weight, "o_proj", 2.0, gemma), weight)


def test_cumulative_scales_refuse_zero_and_overflow():
    assert cumulative_scales([2.0, -0.5, 3.0]) == [2.0, -1.0, -3.0]
    with pytest.raises(InvalidPlan, match=r"stack\[1\]: the input scales multiply up to 0"):
        cumulative_scales([1.0, 0.0])
    with pytest.raises(InvalidPlan, match=r"stack\[1\]: the input scales multiply up to inf"):
        cumulative_scales([1e300, 1e300])
    with pytest.raises(InvalidPlan, match="multiply up to 0"):
        cumulative_scales([1e-300, 1e-300])
