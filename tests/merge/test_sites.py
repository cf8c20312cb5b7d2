from __future__ import annotations

import pytest

from evolve.donors.donors import expected_shapes
from evolve.donors.sites import layer_name, sites_of, split_name
from evolve.errors import DonorError
from evolve.site import BLOCKS, ROLES

LAYER_ROLES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "input_norm", "post_norm"}
EXTRA_ROLES = {"qwen3": {"q_norm", "k_norm"}, "gemma2": {"pre_mlp_norm", "post_mlp_norm"}}


def _sites(config):
    return sites_of(config, expected_shapes(config))


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2"])
def test_every_parameter_of_every_architecture_is_a_site(workshop, name):
    config = workshop.config(name)
    model = workshop.model(name)
    sites = _sites(config)
    assert {site.name: site.shape for site in sites} == {n: tuple(p.shape) for n, p in model.named_parameters()}
    assert all(site.role in ROLES and site.block in BLOCKS for site in sites)
    for layer in range(3):
        weights = [site for site in sites if site.layer == layer and site.kind == "weight"]
        assert {site.role for site in weights} == LAYER_ROLES | EXTRA_ROLES.get(name, set())
        assert {site.depth for site in weights} == {layer / 2}
    ends = [(site.role, site.block, site.depth) for site in sites if site.layer is None]
    tied = [("embed", "embedding", 0.0), ("final_norm", "norm", 1.0)]
    assert ends == (tied if config.tie_word_embeddings else [*tied, ("head", "head", 1.0)])


def test_biases_of_qwen2_have_the_role_of_their_projection(workshop):
    biases = [site for site in _sites(workshop.config("qwen2")) if site.kind == "bias"]
    assert {(site.role, site.block) for site in biases} == {(r, "attention") for r in ("q_proj", "k_proj", "v_proj")}
    assert len(biases) == 9


def test_blocks_of_a_layer(workshop):
    blocks = {site.role: site.block for site in _sites(workshop.config("qwen3")) if site.layer == 0}
    assert blocks["o_proj"] == "attention"
    assert blocks["down_proj"] == "mlp"
    assert blocks["q_norm"] == blocks["post_norm"] == "norm"


def test_a_single_layer_has_depth_zero(workshop):
    sites = _sites(workshop.config("llama", num_hidden_layers=1))
    assert {site.depth for site in sites if site.layer == 0} == {0.0}


def test_unknown_architecture_and_parameter_name_what_is_known(workshop):
    config = workshop.config("llama")
    with pytest.raises(DonorError, match=r"'model\.layers\.0\.mlp\.router\.weight' is unknown in a llama .*gate_proj"):
        sites_of(config, {"model.layers.0.mlp.router.weight": (4, 4)})
    with pytest.raises(DonorError, match="unknown in a llama model of 3 layers"):
        sites_of(config, {"model.layers.7.mlp.up_proj.weight": (4, 4)})
    config.model_type = "mamba"
    with pytest.raises(
        DonorError, match="'mamba' is not supported; supported are llama, mistral, qwen2, qwen3, gemma2"
    ):
        sites_of(config, {})


def test_names_of_other_layers():
    assert split_name("model.layers.11.self_attn.q_proj.bias") == (11, "self_attn.q_proj", "bias")
    assert split_name("model.norm.weight") == (None, "model.norm", "weight")
    assert layer_name("model.layers.1.mlp.up_proj.weight", 12) == "model.layers.12.mlp.up_proj.weight"
