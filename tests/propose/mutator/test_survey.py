from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

from evolve.errors import PatchError
from evolve.propose.base import Parent
from evolve.propose.blocks import outside
from evolve.propose.mutator.literals import knob_values
from evolve.propose.mutator.survey import HIGH, LOW, Survey
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

SITES = [
    Site("embed", None, 0.0, "embed", "embedding", (8, 4)),
    *(Site(f"{layer}.q", layer, layer / 3, "q_proj", "attention", (4, 4)) for layer in range(4)),
    *(Site(f"{layer}.n", layer, layer / 3, "input_norm", "norm", (4,)) for layer in range(4)),
    Site("head", None, 1.0, "head", "head", (8, 4)),
]


@pytest.fixture
def survey(recipe, request_of):
    def propose(seed: int):
        request = dataclasses.replace(request_of(recipe, seed), layers=4, blocks=("attention", "norm"))
        return request, asyncio.run(Survey().propose(request))

    return propose


def test_a_survey_joins_every_expert_in_every_place_and_traces(survey):
    request, child = survey(1)
    experts = [donor for donor in request.donors if donor != "base"]
    values = knob_values(child.source)
    assert sorted(values) == sorted(f"{expert}_weight_by_layer" for expert in experts)
    assert all(len(value) == 4 + 2 and min(value) >= LOW and max(value) <= HIGH for value in values.values())
    assert outside(child.source) == outside(request.parent.source)
    plan = trace(child.source, SITES, {donor: DonorInfo(4) for donor in request.donors}).plan
    assert set(plan.donors) == set(request.donors)


def test_surveys_spread_and_their_seed_decides(survey):
    levels = [np.mean(list(knob_values(survey(seed)[1].source).values()), axis=1) for seed in range(40)]
    assert np.ptp(levels, axis=0).min() > 0.7, "each expert is tried from nearly nothing to nearly all"
    assert survey(3)[1] == survey(3)[1]
    texts = [survey(seed)[1].source for seed in range(40)]
    bare = sum('if site.block == "norm"' in text for text in texts)
    assert 4 <= bare <= 20, "norms of the base in some, not in all"


def test_a_survey_needs_a_base_and_experts(recipe, request_of):
    for donors in (("base",), ("ja", "math")):
        request = dataclasses.replace(request_of(recipe), donors=donors, parent=Parent("1", recipe, 0.5))
        with pytest.raises(PatchError, match="a donor called base and at least one expert"):
            asyncio.run(Survey().propose(request))
