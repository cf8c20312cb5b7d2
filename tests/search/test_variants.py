"""Variants of the advice: drawn by their gains, ranked, retired."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.search.variants import MIN_USES, Variant, Variants


@pytest.fixture
def variants():
    made = Variants(limit=3)
    for number in (1, 2, 3):
        made.add(Variant(number, f"text {number}"))
    return made


def record(variants, number, *gains):
    for gain in gains:
        variants.bandit.record(Variants.arm(number), gain, None, 0.0, accepted=gain > 0, evaluated=True)


def draws(variants, count, seed=0):
    rng = np.random.default_rng(seed)
    return Counter(variants.draw(rng).id for _ in range(count))


def test_each_variant_is_tried_before_any_is_drawn_again(variants):
    assert draws(variants, 3) == {1: 1, 2: 1, 3: 1}


def test_the_variant_that_gains_is_drawn_most(variants):
    record(variants, 1, *[0.0] * 20)
    record(variants, 2, *[0.1] * 20)
    record(variants, 3, *[0.0] * 20)
    found = draws(variants, 300)
    assert found[2] > 200


def test_few_results_rule_nothing_out(variants):
    record(variants, 1, 0.0, 0.0)
    record(variants, 2, 0.0, 0.1)
    record(variants, 3, 0.0, 0.0)
    assert min(draws(variants, 300).values()) > 30


def test_an_unknown_price_does_not_matter(variants):
    record(variants, 2, 0.5)
    variants.bandit.record(Variants.arm(1), 0.5, 1e6, 0.0, accepted=True, evaluated=True)
    record(variants, 3, 0.5)
    found = draws(variants, 300)
    assert min(found.values()) > 60


def test_the_best_come_first_and_unused_ones_last(variants):
    record(variants, 2, 0.0)
    record(variants, 3, 0.4)
    assert [(one.id, gain) for one, gain in variants.best(2)] == [(3, pytest.approx(0.4)), (2, 0.0)]
    assert [one.id for one, _ in variants.best(5)] == [3, 2, 1]


def test_only_a_variant_with_enough_results_is_the_worst(variants):
    record(variants, 1, *[0.0] * (MIN_USES - 1))
    assert variants.worst is None
    record(variants, 2, *[0.2] * MIN_USES)
    assert variants.worst == 2
    record(variants, 1, 0.0)
    assert variants.worst == 1


def test_a_retired_variant_is_never_drawn_and_makes_room(variants):
    assert variants.full
    variants.retire(2)
    assert not variants.full
    assert 2 not in draws(variants, 50)
    record(variants, 2, 9.0)
    assert [one.id for one, _ in variants.best(5)] == [1, 3]


def test_without_a_variant_nothing_can_be_drawn():
    with pytest.raises(UsageError):
        Variants(limit=2).draw(np.random.default_rng(0))
