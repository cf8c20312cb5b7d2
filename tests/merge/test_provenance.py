from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from evolve.donors.donors import load_donors
from evolve.merge import provenance as module
from evolve.merge.model import LiveModel
from evolve.merge.provenance import Provenance


@pytest.fixture
def measured(workshop, mix):
    """measured(donors, weights, stack=None, **options of LiveModel): a live model and its provenance."""

    def measure(donors, weights, stack=None, **options):
        live = LiveModel(load_donors(donors, finite=False), **options)
        plan = mix(live.sites, weights, stack)
        live.apply(plan)
        return live, Provenance(live.donors).measure(live.model, plan.stack)

    return measure


def _at(found, layer, role):
    (place,) = [place for place in found["places"] if (place["layer"], place["role"]) == (layer, role)]
    return place


def _oracle(live, layer, role, others):
    """The measures of a place from whole float64 vectors and numpy's least squares."""
    names = [site.name for site in live.sites if (site.layer, site.role) == (layer, role)]

    def vector(tensors):
        return torch.cat([tensors[name].flatten().double() for name in names]).numpy()

    base = vector(live.donors["base"].tensors)
    taus = np.stack([vector(live.donors[other].tensors) - base for other in others], axis=1)
    delta = vector(dict(live.model.named_parameters())) - base
    coefficients = np.linalg.lstsq(taus, delta, rcond=None)[0]
    pulls = np.abs(coefficients) * np.linalg.norm(taus, axis=0)
    return {
        "norm": np.linalg.norm(delta),
        "residual": np.linalg.norm(delta - taus @ coefficients) / np.linalg.norm(delta),
        "coefficient": coefficients,
        "share": pulls / pulls.sum(),
        "cosine": delta @ taus / (np.linalg.norm(delta) * np.linalg.norm(taus, axis=0)),
    }


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_a_weighted_sum_of_task_vectors_is_taken_apart(workshop, measured, name):
    live, found = measured(workshop.donors(name, "base", "a", "b"), {"base": 0.25, "a": 0.5, "b": 0.25})
    assert found["base"] == "base"
    expected_places = list(dict.fromkeys((site.layer, site.role) for site in live.sites))
    assert [(place["layer"], place["role"]) for place in found["places"]] == expected_places
    for place in found["places"]:
        expected = _oracle(live, place["layer"], place["role"], ["a", "b"])
        assert place["donors"]["a"]["coefficient"] == pytest.approx(0.5, abs=1e-5)
        assert place["donors"]["b"]["coefficient"] == pytest.approx(0.25, abs=1e-5)
        assert place["residual"] < 1e-5
        assert place["norm"] == pytest.approx(expected["norm"], rel=1e-5)
        for index, donor in enumerate("ab"):
            for measure in ("share", "cosine"):
                assert place["donors"][donor][measure] == pytest.approx(expected[measure][index], abs=2e-6)
    assert found["model"]["donors"]["a"]["coefficient"] == pytest.approx(0.5, abs=1e-5)
    assert found["model"]["norm"] == pytest.approx(np.hypot.reduce([p["norm"] for p in found["places"]]), rel=1e-5)


def test_what_no_donor_explains_is_the_residual(workshop, measured):
    live, _ = measured(workshop.donors("qwen2", "base", "a", "b"), {"base": 0.5, "a": 0.5})
    with torch.no_grad():
        for parameter in live.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    place = _at(Provenance(live.donors).measure(live.model), 1, "q_proj")  # weight and bias together
    expected = _oracle(live, 1, "q_proj", ["a", "b"])
    assert expected["residual"] > 0.5
    assert place["residual"] == pytest.approx(expected["residual"], abs=2e-6)
    for index, donor in enumerate("ab"):
        for measure in ("share", "cosine", "coefficient"):
            assert place["donors"][donor][measure] == pytest.approx(expected[measure][index], abs=2e-6)


def test_a_donor_alone_has_the_whole_share(workshop, measured):
    _, found = measured(workshop.donors("llama", "base", "a", "b"), {"b": 1.0}, dtype=torch.float32)
    for place in [*found["places"], found["model"]]:
        assert place["residual"] < 1e-6
        assert place["donors"]["b"] == {"share": 1.0, "cosine": 1.0, "coefficient": 1.0}
        assert place["donors"]["a"]["share"] == 0


def test_the_base_alone_has_no_shares(workshop, measured):
    _, found = measured(workshop.donors("llama", "base", "a", "b"), {"base": 1.0})
    nothing = {"share": None, "cosine": None, "coefficient": None}
    for place in [*found["places"], found["model"]]:
        assert (place["norm"], place["residual"]) == (0, None)
        assert place["donors"] == {"a": nothing, "b": nothing}
    json.dumps(found, allow_nan=False)


def test_donors_that_are_the_same_share_alike(workshop, measured):
    donors = workshop.donors("llama", "base", "a", "b")
    _, found = measured({**donors, "twin": donors["a"]}, {"base": 0.25, "a": 0.5, "b": 0.25})
    for place in found["places"]:
        assert place["donors"]["a"] == place["donors"]["twin"]
        assert place["donors"]["a"]["coefficient"] == pytest.approx(0.25, abs=1e-5)
        assert place["donors"]["b"]["coefficient"] == pytest.approx(0.25, abs=1e-5)
        assert place["residual"] < 1e-5


def test_a_donor_that_is_the_base_has_no_direction(workshop, measured):
    donors = workshop.donors("llama", "base", "a")
    _, found = measured({**donors, "copy": donors["base"]}, {"base": 0.5, "a": 0.5})
    for place in found["places"]:
        assert place["donors"]["copy"] == {"share": 0.0, "cosine": None, "coefficient": None}
        assert place["donors"]["a"]["share"] == 1.0


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_stacked_layer_is_compared_with_the_layer_it_is_made_from(workshop, measured, name):
    donors = workshop.donors(name, "base", "a", "b")
    weights = {"base": 0.25, "a": 0.5, "b": 0.25}
    _, plain = measured(donors, weights)
    _, found = measured(donors, weights, [("merged", 2, 1.0), ("a", 0, 0.5), ("base", 1, 1.0), ("merged", 1, -3.0)])
    assert {place["layer"] for place in found["places"]} == {None, 0, 1, 2, 3}
    order = [place["layer"] for place in found["places"] if place["layer"] is not None]
    assert order == sorted(order)
    roles = [place["role"] for place in found["places"] if place["layer"] == 0]
    for role in roles:
        assert _at(found, 1, role)["donors"]["a"]["share"] == pytest.approx(1.0, abs=1e-5)
        assert _at(found, 1, role)["donors"]["a"]["coefficient"] == pytest.approx(1.0, abs=1e-5)
        assert _at(found, 2, role)["norm"] < 1e-5
        for position, layer in ((0, 2), (3, 1)):
            same, other = _at(found, position, role), _at(plain, layer, role)
            assert same["residual"] < 1e-5
            assert same["norm"] == pytest.approx(other["norm"], rel=1e-5)
            for donor, measures in other["donors"].items():
                assert same["donors"][donor] == pytest.approx(measures, abs=1e-5)
    assert _at(found, None, "final_norm")["donors"]["a"]["coefficient"] == pytest.approx(0.5, abs=1e-5)


def test_a_tied_embedding_is_one_place(workshop, measured):
    live, found = measured(workshop.donors("qwen2", "base", "a"), {"base": 0.5, "a": 0.5})
    assert live.model.config.tie_word_embeddings
    assert [place["role"] for place in found["places"] if place["layer"] is None] == ["embed", "final_norm"]
    assert _at(found, None, "embed")["donors"]["a"]["coefficient"] == pytest.approx(0.5, abs=1e-5)


def test_rounded_weights_are_measured_not_the_recipe(workshop, measured):
    donors = workshop.donors("llama", "base", "a", dtype=torch.bfloat16)
    live, found = measured(donors, {"base": 0.7, "a": 0.3})
    assert live.dtype == torch.bfloat16
    place = _at(found, 0, "up_proj")
    assert place["residual"] == pytest.approx(_oracle(live, 0, "up_proj", ["a"])["residual"], abs=2e-6)
    assert place["residual"] > 1e-4


def test_neither_blocks_nor_kept_products_change_the_numbers(workshop, measured, monkeypatch):
    live, found = measured(workshop.donors("gemma2", "base", "a", "b"), {"base": 0.2, "a": 0.5, "b": 0.25})
    once = Provenance(live.donors)
    assert once.measure(live.model) == once.measure(live.model) == found
    monkeypatch.setitem(module._BLOCK_ELEMENTS, "cpu", 7)
    assert [place["norm"] for place in Provenance(live.donors).measure(live.model)["places"]] == pytest.approx(
        [place["norm"] for place in found["places"]]
    )
    a = [place["donors"]["a"]["share"] for place in Provenance(live.donors).measure(live.model)["places"]]
    assert a == pytest.approx([place["donors"]["a"]["share"] for place in found["places"]], abs=2e-6)


def test_a_damaged_donor_leaves_its_place_unmeasured(workshop, measured):
    donors = workshop.donors("llama", "base", "a", "b")
    broken = shutil.copytree(donors["b"], donors["b"].with_name("broken"))
    tensors = load_file(broken / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    _, found = measured({**donors, "b": broken}, {"base": 0.5, "a": 0.5})
    damaged, whole = _at(found, 1, "up_proj"), _at(found, 1, "down_proj")
    assert damaged["residual"] is None
    assert damaged["donors"]["a"] == {"share": None, "cosine": None, "coefficient": None}
    assert whole["donors"]["a"]["coefficient"] == pytest.approx(0.5, abs=1e-5)
    json.dumps(found, allow_nan=False)
