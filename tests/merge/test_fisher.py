from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from evolve.donors.donor_model import donor_model
from evolve.donors.donors import load_donors
from evolve.donors.fisher import fisher

TEXTS = [[1, 5, 9, 13, 7, 6], [1, 20, 21, 22], [1, 30, 31, 32, 33], [2, 3]]


def _expected(path):
    """From the checkpoint itself: labels and loss of transformers, gradients of one text at a time."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    sums = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for tokens in TEXTS:
        model.zero_grad()
        ids = torch.tensor([tokens])
        model(input_ids=ids, labels=ids).loss.backward()
        for name, parameter in model.named_parameters():
            sums[name] += parameter.grad**2
    return {name: total / len(TEXTS) for name, total in sums.items()}


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2"])
def test_fisher_is_the_mean_squared_gradient_of_single_texts(workshop, name):
    donors = load_donors(workshop.donors(name, "base", "ja"))
    model = donor_model(donors["ja"], donors, "cpu")
    steps = []
    found = dict(fisher(model, TEXTS, donors.sites, lambda done, total: steps.append((done, total))))
    expected = _expected(donors["ja"].path)
    assert found.keys() == expected.keys()
    for site, tensor in found.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, expected[site], rtol=1e-4, atol=1e-10)
    assert steps == [(n, 4) for n in range(1, 5)]


def test_groups_give_the_same_as_one_pass(workshop):
    donors = load_donors(workshop.donors("qwen2", "base"))
    model = donor_model(donors["base"], donors, "cpu")
    steps = []
    whole = dict(fisher(model, TEXTS, donors.sites, lambda *_: None))
    parts = dict(fisher(model, TEXTS, donors.sites, lambda *step: steps.append(step), group_bytes=40_000))
    assert list(parts) == [site.name for site in donors.sites]
    assert all(torch.equal(whole[site], parts[site]) for site in whole)
    assert steps[-1][0] == steps[-1][1] > len(TEXTS)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_donor_with_spare_rows_counts_those_of_the_merge(workshop):
    paths = {
        "base": workshop.save(workshop.model("llama", 0), "base"),
        "ja": workshop.save(workshop.model("llama", 1, vocab_size=72, pad_token_id=70), "ja"),
    }
    donors = load_donors(paths)
    model = donor_model(donors["ja"], donors, "cpu")
    found = dict(fisher(model, TEXTS, donors.sites, lambda *_: None))
    assert {site.name: tuple(found[site.name].shape) for site in donors.sites} == {
        s.name: s.shape for s in donors.sites
    }
