"""Rewards of ended proposals, and the bandit restored by telling them again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evolve.search.bandit import Bandit
from evolve.strategies.base import Told
from evolve.strategies.credit import Credit, reward

CHILD = Told(2, "offline", {}, "x", 0.7, parent=1, parent_score=0.5, seconds=2.0, archived=True)


@pytest.mark.parametrize(
    ("changes", "baseline", "expected"),
    [
        ({}, 0.4, 0.2),
        ({}, 0.6, 0.1),
        ({}, 0.8, 0.0),
        ({"parent_score": None}, 0.6, 0.1),
        ({"parent_score": None}, None, 0.0),
        ({"score": None, "state": "failed"}, 0.4, 0.0),
        ({"state": "duplicate", "used": False}, 0.4, 0.0),
        ({"whole": False}, 0.4, 0.0),
        ({"score": -0.3, "parent_score": -0.5}, -0.4, 0.1),
    ],
)
def test_the_reward_is_the_gain_over_parent_and_baseline(changes, baseline, expected):
    assert reward(replace(CHILD, **changes), baseline) == pytest.approx(expected)


def test_seeds_set_the_baseline_and_ablations_count_for_nothing():
    credit = Credit(Bandit(["offline", "model"]))
    for number, score in ((1, 0.5), (2, 0.6), (3, None)):
        credit.tell(Told(number, "problem", {}, "s", score, seed_name=f"s{number}"))
    assert credit.baseline == 0.6
    assert credit.tell(CHILD) == pytest.approx(0.1)
    credit.tell(replace(CHILD, patch="ablation", score=0.9))
    credit.tell(replace(CHILD, arm="model", score=None, state="rejected", used=False, archived=False, cost_usd=None))
    offline, model = credit.bandit.arms["offline"], credit.bandit.arms["model"]
    assert (offline.calls, offline.accepted, offline.evaluations, offline.seconds) == (1, 1, 1, 2.0)
    assert (model.calls, model.evaluations, model.unknown_costs, model.gain) == (1, 0, 1, 0.0)


def test_telling_everything_again_restores_the_bandit():
    rng = np.random.default_rng(0)
    tolds = [Told(1, "problem", {}, "s", 0.5, seed_name="s")]
    tolds += [
        replace(CHILD, id=n, arm=("offline", "model")[n % 2], score=float(rng.random()), cost_usd=0.01 * (n % 2))
        for n in range(2, 40)
    ]
    credits = [Credit(Bandit(["offline", "model"])) for _ in range(2)]
    for credit in credits:
        for told in tolds:
            credit.tell(told)
    assert credits[0].bandit.arms == credits[1].bandit.arms
    choices = [[c.bandit.choose(np.random.default_rng(n)) for n in range(9)] for c in credits]
    assert choices[0] == choices[1]
