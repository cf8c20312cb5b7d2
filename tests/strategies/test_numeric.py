"""The searches over numbers, judged by what the merged tensors are."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch

from evolve.errors import UsageError
from evolve.execute.executor import Executor
from evolve.propose.mutator.literals import knob_values
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site
from evolve.strategies.base import Told
from evolve.strategies.registry import make

torch.set_num_threads(1)

LAYERS = 3
SITES = [
    Site("embed.weight", None, 0.0, "embed", "embedding", (4, 4)),
    *(Site(f"layers.{i}.q.weight", i, i / 2, "q_proj", "attention", (4, 4)) for i in range(LAYERS)),
    Site("norm.weight", None, 1.0, "final_norm", "norm", (4,)),
]
INFOS = {name: DonorInfo(LAYERS) for name in ("base", "ja", "math")}


@functools.cache
def donors_at(site):
    generator = torch.Generator().manual_seed(SITES.index(site))
    return {name: torch.randn(*site.shape, generator=generator) for name in INFOS}


def closeness(target):
    """A score of recipes: minus the squared distance of what they merge to base + Σ target · (expert − base);
    ``target(site)`` gives the two amounts."""

    def score(source):
        executor = Executor(trace(source, SITES, INFOS).plan)
        total = 0.0
        for site in SITES:
            donors = donors_at(site)
            ja, math = target(site)
            wanted = donors["base"] + ja * (donors["ja"] - donors["base"]) + math * (donors["math"] - donors["base"])
            total += float(((executor.compute_site(site.name, donors) - wanted) ** 2).mean())
        return -total

    return score


def best(told):
    return max(one.score for one in told if one.score is not None)


def test_cmaes_finds_the_amounts(setting, run):
    told = run(make("cmaes", setting()), closeness(lambda site: (1.2, 0.1)), 100, in_flight=4)
    winner = max(told, key=lambda one: one.score)
    found = knob_values(winner.source)
    assert found["ja_weight"][0] == pytest.approx(1.2, abs=0.03) and found["math_weight"][0] == pytest.approx(
        0.1, abs=0.03
    )
    assert "EVOLVE-BLOCK-START" in winner.source


def test_cmaes_tunes_a_seed(setting, run):
    told = run(
        make("cmaes", setting(options={"program": "tuned"})), lambda text: -abs(knob_values(text)["low"][0] - 0.8), 80
    )
    assert best(told) > -0.02
    assert all("rate" in knob_values(one.source) for one in told)


def test_a_converged_search_begins_anew(setting, run):
    strategy = make("cmaes", setting())
    told = run(strategy, closeness(lambda site: (0.9, 0.2)), 240)
    assert strategy.search.restarts >= 1
    assert sum(one.used for one in told) > 200, "most proposals are still new"


def test_failures_do_not_stop_cmaes(setting, run):
    near = closeness(lambda site: (0.9, 0.2))

    def score(text):
        return None if knob_values(text)["ja_weight"][0] < 0.5 else near(text)

    told = run(make("cmaes", setting()), score, 100)
    assert any(one.score is None for one in told) and best(told) > -0.02


@pytest.mark.parametrize("method", ["dare_ties", "ties", "task_arithmetic", "linear"])
@pytest.mark.parametrize("per", ["layer", "model"])
def test_parameter_space_recipes_trace(setting, method, per):
    strategy = make("parameter_space", setting(options={"method": method, "per": per}))
    source = strategy.ask(np.random.default_rng(0)).source
    knobs = trace(source, SITES, INFOS).knobs
    width = LAYERS + 2 if per == "layer" else 1
    assert set(map(len, knob_values(source).values())) == {width}
    assert len(knobs) == (4 if method in ("dare_ties", "ties") else 2)


def test_parameter_space_tells_layers_apart(setting, run):
    """The embedding, two of the layers and the end want other amounts than one number for all can give."""
    wanted = {"embed.weight": (0.1, 0.9), "layers.1.q.weight": (0.9, 0.1)}
    score = closeness(lambda site: wanted.get(site.name, (0.5, 0.5)))
    options = {"method": "task_arithmetic"}
    wide = run(make("parameter_space", setting(options=options)), score, 220)
    single = run(make("parameter_space", setting(options={**options, "per": "model"})), score, 80)
    assert best(wide) > best(single) / 4, "scores are negative: a quarter of the error is left"


def test_parameter_space_goes_wide_from_the_best_shared_numbers(setting, run):
    options = {"method": "task_arithmetic", "start": "global", "global_evaluations": 40}
    strategy = make("parameter_space", setting(options=options))
    told = run(strategy, closeness(lambda site: (0.8, 0.3)), 40)
    assert all(len(set(values)) == 1 for one in told for values in knob_values(one.source).values())
    assert strategy.phase == "single"
    winner = knob_values(max(told, key=lambda one: one.score).source)
    assert strategy.search.cma.mean == pytest.approx([*winner["ja_weight"], *winner["math_weight"]], abs=2e-3)
    later = run(strategy, closeness(lambda site: (0.8, 0.3)), 60, in_flight=3, told=told)
    assert len(set(knob_values(later[-1].source)["ja_weight"])) > 1


def test_random_covers_the_bounds(setting, run):
    told = run(make("random", setting()), lambda text: 0.0, 400)
    assert {one.note["seed"] for one in told} == {"tuned"}, "the seed without knobs is left out"
    low = np.array([knob_values(one.source)["low"][0] for one in told])
    rate = np.array([knob_values(one.source)["rate"][0] for one in told])
    assert low.min() < 0.05 and low.max() > 0.95 and abs(low.mean() - 0.5) < 0.06
    assert 0.4 < (rate < 0.0316).mean() < 0.6, "uniform in the logarithm"


def test_random_works_for_programs(setting):
    strategy = make("random", setting(kind="program", donors={}, base=None))
    assert "low" in knob_values(strategy.ask(np.random.default_rng(0)).source)


@pytest.mark.parametrize("options", [{}, {"succession": False}, {"per": "layer", "population": 6}])
def test_genome_improves_on_its_first_members(setting, run, options):
    score = closeness(lambda site: (0.75, 0.35))
    strategy = make("genome", setting(options=options))
    told = run(strategy, score, 100, in_flight=3)
    assert knob_values(told[0].source).keys() == {"ja_weight", "math_weight"}
    first = best(told[:3])
    assert best(told) > first / 3, "scores are negative: a third of the error is left"
    assert len(strategy.members) <= options.get("population", 10)
    assert [one.score for one in strategy.members] == sorted((one.score for one in strategy.members), reverse=True)


def test_genome_begins_with_experts_and_their_mean(setting, run):
    told = run(make("genome", setting()), lambda text: 0.0, 3)
    assert [knob_values(one.source) for one in told] == [
        {"ja_weight": (1.0,), "math_weight": (0.0,)},
        {"ja_weight": (0.0,), "math_weight": (1.0,)},
        {"ja_weight": (0.5,), "math_weight": (0.5,)},
    ]


def test_genome_goes_on_when_all_scores_are_equal(setting, run):
    told = run(make("genome", setting()), lambda text: 0.0, 60)
    assert sum(one.used for one in told) == 60


RESUMED = [
    ("cmaes", {}),
    ("parameter_space", {"start": "global", "global_evaluations": 20}),
    ("data_flow", {"scales": "layers"}),
    ("genome", {}),
]


@pytest.mark.parametrize(("name", "options"), RESUMED)
@pytest.mark.parametrize("half", [15, 70])
def test_a_resumed_run_goes_on_where_it_was(setting, run, name, options, half):
    def score(text):
        return float(np.sin(sum(map(ord, text))))

    first, second = (make(name, setting(options=options)) for _ in range(2))
    for end in run(first, score, half):
        stored = json.loads(json.dumps(dict(end.note)))
        second.tell(Told(end.id, end.arm, stored, end.source, end.score, used=end.used, state=end.state))
    for number in range(12):
        asks = [strategy.ask(np.random.default_rng(number)) for strategy in (first, second)]
        assert asks[0].source == asks[1].source and asks[0].note == asks[1].note
        for strategy in (first, second):
            strategy.tell(Told(1000 + number, name, asks[0].note, asks[0].source, float(number)))


@pytest.mark.parametrize("name", ["cmaes", "parameter_space", "data_flow", "genome"])
def test_what_a_problem_rules_out(setting, name):
    with pytest.raises(UsageError, match="merges models"):
        make(name, setting(kind="program", donors={}, base=None))
    with pytest.raises(UsageError, match="unknown key 'sigmaa'"):
        make(name, setting(options={"sigmaa": 1.0}))


def test_a_base_is_needed_where_the_method_has_one(setting):
    free = {"donors": {"ja": LAYERS, "math": LAYERS}, "base": None}
    for name in ("cmaes", "parameter_space"):
        with pytest.raises(UsageError, match="needs a donor called 'base'"):
            make(name, setting(**free))
    infos = {name: DonorInfo(LAYERS) for name in free["donors"]}
    for name, options in (("parameter_space", {"method": "linear"}), ("genome", {"per": "layer"})):
        source = make(name, setting(**free, options=options)).ask(np.random.default_rng(0)).source
        assert trace(source, SITES, infos).plan.sites


def test_seeds_that_cannot_be_searched(setting):
    with pytest.raises(UsageError, match="no seed 'tune'; did you mean 'tuned'"):
        make("cmaes", setting(options={"program": "tune"}))
    with pytest.raises(UsageError, match="'plain' has no knobs"):
        make("cmaes", setting(options={"program": "plain"}))
    with pytest.raises(UsageError, match="needs a seed program with knobs"):
        make("random", setting(seeds={"plain": setting().seeds["plain"]}))
    with pytest.raises(UsageError, match="must be one of layer, model"):
        make("parameter_space", setting(options={"per": "row"}))
