"""Stacks of layers: candidates, scales, limits, and the search."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site
from evolve.strategies.registry import make

LAYERS = 3
SITES = [
    Site("embed.weight", None, 0.0, "embed", "embedding", (4, 4)),
    *(Site(f"layers.{i}.q.weight", i, i / 2, "q_proj", "attention", (4, 4)) for i in range(LAYERS)),
]
INFOS = {name: DonorInfo(LAYERS) for name in ("base", "ja", "math")}


def stack_of(source):
    stack = trace(source, SITES, INFOS).plan.stack
    return [] if stack is None else [(entry.model, entry.layer, entry.scale) for entry in stack]


def test_orders(setting):
    def models(**options):
        return "".join(name[0] for name, _ in make("data_flow", setting(options=options)).candidates)

    assert models(repetitions=2) == "jjjmmm" * 2
    assert models(repetitions=2, order="model_major") == "jjjjjjmmmmmm"
    assert models(order="mix") == "jmjmjm"
    assert models(models=["math", "base"]) == "mmmbbb"


def test_the_mean_of_the_start_is_the_first_model(setting):
    for order in ("repetition_major", "model_major", "mix"):
        strategy = make("data_flow", setting(options={"order": order, "repetitions": 1 if order == "mix" else 2}))
        entries, scales = strategy.stack(strategy.search.cma.mean)
        assert entries == [("ja", 0), ("ja", 1), ("ja", 2)] and set(scales) == {1.0}


def test_a_hop_scales_the_input_of_the_next_layer(setting):
    strategy = make("data_flow", setting())
    point = np.array([0.9, 0.1, 0.1, 0.1, 0.9, 0.9, 0.8, 0.3])  # candidates ja 0..2, math 0..2; ja to math, math to ja
    entries, scales = strategy.stack(point)
    assert entries == [("ja", 0), ("math", 1), ("math", 2)]
    assert scales == [1.0, pytest.approx(1.3), 1.0]


def test_a_stack_has_at_least_one_layer_and_not_too_many(setting):
    strategy = make("data_flow", setting(options={"most_layers": 2, "scales": "none"}))
    assert strategy.stack(np.array([0.1, 0.2, 0.4, 0.3, 0.0, 0.0]))[0] == [("ja", 2)]
    assert strategy.stack(np.array([0.6, 0.9, 0.7, 0.8, 0.1, 0.1]))[0] == [("ja", 1), ("math", 0)]


@pytest.mark.parametrize("order", ["repetition_major", "model_major", "mix"])
@pytest.mark.parametrize("scales", ["hops", "layers", "none"])
def test_recipes_trace_to_their_stack(setting, order, scales):
    strategy = make("data_flow", setting(options={"order": order, "scales": scales, "sigma": 0.4}))
    lengths = set()
    for _ in range(20):
        ask = strategy.ask(np.random.default_rng(0))
        entries, factors = strategy.stack(np.array(ask.note["point"]))
        traced = stack_of(ask.source)
        assert traced == [(*entry, factor) for entry, factor in zip(entries, factors, strict=True)]
        lengths.add(len(traced))
    assert lengths == {LAYERS} if order == "mix" else len(lengths) > 1


def test_the_search_finds_a_stack(setting, run):
    wanted = [("ja", 0), ("math", 1), ("math", 2)]

    def score(source):
        found = [(model, layer) for model, layer, _ in stack_of(source)]
        return -float(len(set(found) ^ set(wanted)))

    for order in ("repetition_major", "mix"):
        told = run(make("data_flow", setting(options={"order": order, "scales": "none"})), score, 200, in_flight=2)
        assert max(one.score for one in told) == 0.0


def test_known_stacks_do_not_stall_the_search(setting, run):
    """With few different stacks most points are known ones; the search begins anew and goes on."""
    strategy = make("data_flow", setting(options={"order": "mix", "scales": "none"}))
    told = run(strategy, lambda source: float(len(source)), 400)
    assert strategy.search.restarts > 2
    assert len({one.source for one in told}) == 2**LAYERS, "every stack was tried"


def test_options(setting):
    with pytest.raises(UsageError, match="no donor 'maht'; did you mean 'math'"):
        make("data_flow", setting(options={"models": ["maht"]}))
    with pytest.raises(UsageError, match="different donors"):
        make("data_flow", setting(options={"models": ["ja", "ja"]}))
    with pytest.raises(UsageError, match="repetitions of 1 or more"):
        make("data_flow", setting(options={"repetitions": 0}))
    with pytest.raises(UsageError, match="order must be one of"):
        make("data_flow", setting(options={"order": "any"}))
