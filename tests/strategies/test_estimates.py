"""Evaluations that were stopped early inform a search by their estimates, and set no records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evolve.propose.base import Parent
from evolve.propose.mutator.literals import knob_values
from evolve.search.archive import Program
from evolve.strategies.base import Told
from evolve.strategies.registry import make
from evolve.strategies.tuning import Controller

SOURCE = """
from evolve.recipe import knob

x = knob("x", 0.2, low=0.0, high=1.0)
y = knob("y", 0.2, low=0.0, high=1.0)
"""


def height(source):
    values = [value for values in knob_values(source).values() for value in values]
    return -sum((value - 0.7) ** 2 for value in values)


@pytest.mark.parametrize("name", ["cmaes", "parameter_space", "genome", "data_flow"])
def test_an_estimate_moves_a_search_as_a_score_does(setting, run, name):
    def proposed(told):
        strategy = make(name, setting())
        for one in told:
            strategy.tell(one)
        return [strategy.ask(np.random.default_rng(n)).source for n in range(4)]

    told = run(make(name, setting()), lambda source: -float(len(source)) - sum(map(ord, source)) % 97, 40)
    whole = proposed(told)
    assert proposed([replace(one, whole=False) for one in told]) == whole
    assert proposed([replace(one, score=None, state="failed") for one in told]) != whole


def test_tuning_goes_on_from_estimates():
    start = Parent("1", SOURCE, score=height(SOURCE))
    elites = [Program(1, height(SOURCE), {})]

    def tuned(**ended):
        controller, sources = Controller(lambda number: start, 0), []
        while len(sources) < 30 and (ask := controller.next(elites)) is not None:
            sources.append(ask.source)
            told = Told(1 + len(sources), ask.arm, ask.note, ask.source, height(ask.source), patch=ask.patch)
            controller.tell(replace(told, **ended))
        return sources

    assert len(tuned()) == 30
    assert tuned(whole=False) == tuned()
    assert tuned(score=None, state="failed") != tuned()
