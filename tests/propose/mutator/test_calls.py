from __future__ import annotations

import inspect

import numpy as np
import pytest

from evolve import methods
from evolve.propose.mutator import effect, structure
from evolve.propose.mutator.calls import ALIKE, OPTIONS, WITH_BASE, method_calls

RECIPE = "def merge(site, base, ja, math):\n    return {}(base, [ja, math], [0.5, 0.3], 0.6)\n"


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_those_of_the_signature(name):
    parameters = list(inspect.signature(getattr(methods, name)).parameters)
    first = ["base"] if name in WITH_BASE else []
    assert parameters == [*first, "tensors", "weights", *OPTIONS[name]]


@pytest.mark.parametrize("name", effect.METHODS)
def test_effects_take_the_arguments_of_the_real_methods(name):
    real = inspect.signature(getattr(methods, name)).parameters
    known = inspect.signature(effect.METHODS[name]).parameters
    assert real.keys() <= known.keys()
    for parameter, given in real.items():
        if parameter not in ("gamma", "epsilon", "weights"):
            assert known[parameter].default == given.default


@pytest.mark.parametrize("name", ["breadcrumbs", "breadcrumbs_ties", "compeft", "pcb"])
def test_calls_of_other_methods_are_edited(name, draft_of):
    draft = draft_of(RECIPE.format(name))
    [call] = method_calls(draft)
    assert call.options == {"density": "0.6"} and call.weights == ("0.5", "0.3")
    _, text = structure.expose(draft, np.random.default_rng(0))
    assert text == f"tune ja_weight, math_weight, {name}_density"
    _, text = structure.swap_method(draft, np.random.default_rng(0))
    assert text.removeprefix(f"{name} -> ") in (*ALIKE, "linear")
