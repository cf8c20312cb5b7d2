from __future__ import annotations

import math

import pytest
import torch

from evolve.donor_statistics import AdaMergingSpec
from evolve.donors.donors import load_donors
from evolve.execute.executor import Executor
from evolve.merge.adamerging import entropy, learned_coefficients, padded, task_arithmetic_plan
from evolve.merge.model import LiveModel
from evolve.plan.validate import validate

TEXTS = [[1, 5, 9, 13, 7, 6], [1, 20, 21, 22], [1, 30, 31, 32, 33], [1, 8, 9]]


@pytest.fixture
def donors(workshop):
    return load_donors(workshop.donors("llama", "base", "ja", "math"))


def _entropy(live, values):
    plan = task_arithmetic_plan(live.sites, "base", ["ja", "math"], values)
    validate(plan, live.sites, live.donor_layers)
    live.apply(plan)
    with torch.inference_mode():
        return float(entropy(live.model, *padded(TEXTS, torch.device("cpu"))))


def test_learned_coefficients_lower_the_entropy_of_the_merge(donors):
    spec = AdaMergingSpec(steps=15, batch=4, rate=0.02)
    steps = []
    found = learned_coefficients(donors, TEXTS, spec, "cpu", lambda *step: steps.append(step))
    assert steps == [(n, 15) for n in range(1, 16)]
    assert found.keys() == {"ja", "math"}
    assert all(tensor.shape == () and tensor.dtype == torch.float32 for tensor in found["ja"].values())
    live = LiveModel(donors)
    learned = [[float(found[name][site.name]) for name in ("ja", "math")] for site in donors.sites]
    before, after = _entropy(live, [[0.3, 0.3]] * len(donors.sites)), _entropy(live, learned)
    assert after < before - 0.02
    assert len({row[0] for row in learned}) > 10  # each parameter has its own


def test_the_seed_decides_the_coefficients(donors):
    def learned(**changes):
        spec = AdaMergingSpec(**{"steps": 3, "batch": 2, "seed": 1, **changes})
        return learned_coefficients(donors, TEXTS, spec, "cpu", lambda *_: None)["ja"]

    first, again, other = learned(), learned(), learned(seed=2)
    assert first == again
    assert first != other


def test_the_plan_is_task_arithmetic(donors):
    values = [[0.1 * (n % 3), 0.2] for n in range(len(donors.sites))]
    plan = task_arithmetic_plan(donors.sites, "base", ["ja", "math"], values)
    validate(plan, donors.sites, {name: donor.layers for name, donor in donors.items()})
    for number in (0, 1, 5):
        site = donors.sites[number].name
        base, ja, math_ = (donors[name].tensors[site] for name in ("base", "ja", "math"))
        expected = base + (ja - base) * values[number][0] + (math_ - base) * 0.2
        assert torch.equal(Executor(plan).compute_site(site, donors.tensors_of(site)), expected)


def test_entropy_leaves_padding_out(workshop):
    model = workshop.model("llama")
    ids, seen = padded(TEXTS, torch.device("cpu"))
    assert ids.shape == seen.shape == (4, 6)
    together, positions = 0.0, 0
    with torch.inference_mode():
        for tokens in TEXTS:
            chances = model(input_ids=torch.tensor([tokens])).logits[0].double().softmax(-1)
            together += float(-(chances * chances.log()).sum())
            positions += len(tokens)
        assert float(entropy(model, ids, seen)) == pytest.approx(together / positions, rel=1e-5)
        model.lm_head.weight.zero_()
        assert float(entropy(model, ids, seen)) == pytest.approx(math.log(workshop.vocabulary), rel=1e-5)
