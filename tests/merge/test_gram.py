from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from evolve.donors.donor_model import donor_model
from evolve.donors.donors import load_donors
from evolve.donors.gram import gram, same_inputs
from evolve.plan.statistics import available

TEXTS = [[1, 5, 9, 13, 7, 6], [1, 20, 21, 22], [1, 30, 31, 32, 33]]


def _expected(path, sites):
    """All inputs of every layer in float64, kept whole."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    rows = {site.name: [] for site in sites}
    for site in sites:
        module = model.get_submodule(site.name.removesuffix(".weight"))
        module.register_forward_pre_hook(lambda _, inputs, kept=rows[site.name]: kept.append(inputs[0][0].double()))
    with torch.no_grad():
        for tokens in TEXTS:
            model(input_ids=torch.tensor([tokens]))
    stacked = {name: torch.cat(parts) for name, parts in rows.items()}
    return {name: x.T @ x / len(x) for name, x in stacked.items()}


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2"])
def test_gram_is_the_mean_outer_product_of_the_inputs(workshop, name):
    donors = load_donors(workshop.donors(name, "base"))
    sites = [site for site in donors.sites if available("gram", site)]
    same = same_inputs(sites)
    own = [site for site in sites if site.name not in same]
    model = donor_model(donors["base"], donors, "cpu")
    found = dict(gram(model, TEXTS, own, lambda *_: None))
    expected = _expected(donors["base"].path, sites)
    assert len(same) == 3 * donors["base"].layers
    for site in sites:
        tensor = found[same.get(site.name, site.name)]
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor.double(), expected[site.name], rtol=1e-4, atol=1e-5)


def test_groups_give_the_same_as_one_pass(workshop):
    donors = load_donors(workshop.donors("llama", "base"))
    sites = [site for site in donors.sites if available("gram", site)]
    model = donor_model(donors["base"], donors, "cpu")
    steps = []
    whole = dict(gram(model, TEXTS, sites, lambda *_: None))
    parts = dict(gram(model, TEXTS, sites, lambda *step: steps.append(step), group_bytes=30_000))
    assert list(parts) == [site.name for site in sites]
    assert all(torch.equal(whole[site], parts[site]) for site in whole)
    assert steps[-1][0] == steps[-1][1] > len(TEXTS)
    assert not any(module._forward_pre_hooks for module in model.modules())
