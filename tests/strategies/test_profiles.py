"""The search over amounts in places, on real merges, and how evaluations are divided."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from evolve.plan.plan import Plan
from evolve.propose.mutator.literals import knob_values
from evolve.recipe.trace import DonorInfo, trace
from evolve.search.trust_region import FAILURES
from evolve.site import Site
from evolve.strategies.base import Told
from evolve.strategies.division import STRUCTURE, Division
from evolve.strategies.profiles import NAME, Profiles

LAYERS = 3
SITES = [
    Site("embed", None, 0.0, "embed", "embedding", (4, 4)),
    *(Site(f"{i}.q", i, i / 2, "q_proj", "attention", (4, 4)) for i in range(LAYERS)),
    *(Site(f"{i}.n", i, i / 2, "input_norm", "norm", (4,)) for i in range(LAYERS)),
    Site("head", None, 1.0, "head", "head", (4, 4)),
]
INFOS = {name: DonorInfo(LAYERS) for name in ("base", "ja", "math")}
WANTED = {"ja_weight_by_layer": [1.2, 1.0, 0.8, 0.6, 0.4], "math_weight_by_layer": [-0.2, 0.0, 0.2, 0.4, 0.6]}


def plan_of(source, infos=INFOS):
    return Plan.from_dict(trace(source, SITES, infos).plan.to_dict())


def closeness(source):
    values = knob_values(source)
    return -sum(float(((np.array(values[name]) - wanted) ** 2).sum()) for name, wanted in WANTED.items())


def driven(profiles, score, count, told=()):
    told = list(told)
    for _ in range(count):
        ask = profiles.ask(0)
        note = json.loads(json.dumps(ask.note))
        told.append(Told(len(told) + 1, ask.arm, note, ask.source, score(ask.source), parent=ask.parent))
        profiles.tell(told[-1])
    return told


def test_the_amounts_of_every_expert_in_every_place_are_found(setting):
    profiles = Profiles(setting())
    told = driven(profiles, closeness, 120)
    assert set(sum(knob_values(told[0].source).values(), ())) == {0.5}, "it starts with halves"
    assert max(one.score for one in told) > -0.05
    assert set(plan_of(told[-1].source).donors) == {"base", "ja", "math"}
    assert told[-1].parent == max(told[:-1], key=lambda one: one.score).id
    assert not profiles.opening


def test_what_is_in_flight_when_a_stage_ends_is_told_alike_again(setting):
    given = setting(blocks=("attention", "mlp", "norm"))
    profiles, flying, told = Profiles(given), [], []
    while not told or told[-1].note["level"] == 0:
        while len(flying) < 4:
            flying.append(profiles.ask(0))
        ask = flying.pop(0)
        told.append(Told(len(told) + 1, ask.arm, ask.note, ask.source, 1.0 if not told else 0.5))
        profiles.tell(told[-1])
    for ask in flying:
        told.append(Told(len(told) + 1, ask.arm, ask.note, ask.source, 0.25))
        profiles.tell(told[-1])
    again = Profiles(given)
    for one in told:
        again.tell(one)
    assert again.ask(0) == profiles.ask(0)


def test_a_duplicate_teaches_nothing_whether_its_original_has_ended_or_not(setting):
    asks = []
    for score in (None, -0.5):
        profiles = Profiles(setting())
        told = driven(profiles, closeness, 20)
        ask = profiles.ask(0)
        profiles.tell(Told(len(told) + 1, ask.arm, ask.note, ask.source, score, used=False, state="duplicate"))
        asks.append(profiles.ask(0))
    assert asks[0] == asks[1]


def test_the_tables_become_finer_when_nothing_is_gained_then_another_round_begins(setting):
    given = setting(blocks=("attention", "mlp", "norm"))
    profiles = Profiles(given)
    told = driven(profiles, lambda source: 1.0 if "0.5, 0.5, 0.5, 0.5, 0.5" in source else 0.5, 330)
    stages = [(one.note["round"], one.note["level"]) for one in told]
    assert stages == sorted(stages)
    assert set(stages) == {(0, 0), (0, 1), (1, 0)}
    coarse = stages.count((0, 0))
    assert coarse >= 4 * FAILURES
    names = set(knob_values(told[coarse].source))
    assert {"ja_weight_by_layer", "ja_attention_by_layer", "ja_norm_by_layer"} < names
    renewed = told[stages.index((1, 0))]
    assert renewed.parent is None
    assert renewed.source == told[0].source, "a round starts at the start"
    assert told[stages.index((1, 0)) + 1].source != told[1].source, "with points of its own"
    assert not profiles.opening
    again = Profiles(given)
    for one in told:
        again.tell(one)
    assert again.ask(0) == profiles.ask(0)

    best = max(told, key=lambda one: one.score)
    profiles.tell(dataclasses.replace(best, id=999, arm="offline", note={}, score=2.0, parent=best.id))
    assert profiles._search.best[1] <= 1.0, "children of an earlier round do not lead this one"


def test_a_finer_recipe_starts_from_the_plan_of_the_coarse_one(setting):
    from evolve.strategies.profiles import _refined

    profiles = Profiles(setting(blocks=("attention", "norm")))
    coarse, fine = profiles._programs
    point = np.random.default_rng(0).random(coarse.space.size)
    texts = [coarse.written(point)[0], fine.written(_refined(coarse, fine, point))[0]]
    assert plan_of(texts[0]).digest == plan_of(texts[1]).digest


def test_programs_of_others_with_the_same_recipe_teach(setting):
    first, second = Profiles(setting()), Profiles(setting())
    told = driven(first, closeness, 20)
    for one in told:
        second.tell(dataclasses.replace(one, arm="offline", note={}))
    assert second.opening, "its own first points are still to come"
    assert second._search.best[1] == first._search.best[1]
    assert second.ask(0).parent == max(told, key=lambda one: one.score).id
    second.tell(Told(99, "offline", {}, told[0].source + "\n# other", 5.0))
    assert second._search.best[1] < 5.0


@pytest.mark.parametrize("stop", [3, 12, 30])
def test_telling_everything_again_restores_it(setting, stop):
    first = Profiles(setting())
    told = driven(first, closeness, stop)
    again = Profiles(setting())
    for one in told:
        again.tell(one)
    assert again.ask(0) == first.ask(0)


def test_without_a_base_the_experts_are_added(setting):
    told = driven(Profiles(setting(donors={"ja": LAYERS, "math": LAYERS}, base=None)), lambda source: 0.0, 3)
    assert set(plan_of(told[-1].source, {name: INFOS[name] for name in ("ja", "math")}).donors) == {"ja", "math"}
    assert not Profiles.fits(setting(kind="program"))


# --- division ---


def divided(results):
    division = Division()
    for number, (arm, score) in enumerate(results):
        division.tell(Told(number + 2, arm, {}, "s", score, parent=1, parent_score=0.0))
    return division


def test_numbers_come_first_and_shares_follow_gains():
    assert Division().shares([NAME, STRUCTURE]) == pytest.approx({NAME: 10 / 11, STRUCTURE: 1 / 11})
    assert Division().shares([STRUCTURE]) == {STRUCTURE: 1.0}
    rising, flat = [("offline", 0.1 * n) for n in range(30)], [(NAME, 0.1)] * 30
    turns = [one for pair in zip(rising, flat, strict=True) for one in pair]
    assert divided(turns).shares([NAME, STRUCTURE])[STRUCTURE] > 0.6
    rising, flat = [(NAME, 0.1 * n) for n in range(30)], [("offline", 0.1)] * 30
    turns = [one for pair in zip(rising, flat, strict=True) for one in pair]
    assert divided(turns).shares([NAME, STRUCTURE])[STRUCTURE] == pytest.approx(0.05, abs=0.01)


def test_a_child_is_credited_with_what_it_adds_to_its_parent_alone():
    division = Division()
    division.tell(Told(1, "problem", {}, "s", 0.1, seed_name="s"))
    division.tell(Told(2, NAME, {}, "s", 0.8))
    division.tell(Told(3, NAME, {}, "s", 0.81, parent=2, parent_score=0.8))
    division.tell(Told(4, "offline", {}, "s", 0.8, parent=3, parent_score=0.81))
    assert division.shares([NAME, STRUCTURE])[STRUCTURE] < 0.2, "it only inherited"
    before = division.shares([NAME, STRUCTURE])
    division.tell(Told(5, "offline", {}, "s", 0.9, parent=3, parent_score=0.81, patch="ablation"))
    assert division.shares([NAME, STRUCTURE]) == before
