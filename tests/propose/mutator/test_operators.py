"""Each structural operator: what it writes, and that it keeps or changes the function as it says."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.propose.base import Parent
from evolve.propose.mutator import crossing, perturb, program, schedule, structure
from evolve.propose.mutator.effect import effects_for

RECIPE = '''ja_weight = knob("ja_weight", 0.5, low=0.0, high=1.5)
math_weight = knob("math_weight", 0.3, low=0.0, high=1.5)


def merge(site, base, ja, math):
    """Merged weight."""
    return task_arithmetic(base, [ja, math], [ja_weight, math_weight])
'''
CONSTANTS = "def merge(site, base, ja, math):\n    return ties(base, [ja, math], [0.5, 1], density=0.4)\n"


def effect(draft):
    request = draft.scope.request
    found = effects_for(request.donors, request.roles, request.layers).of(draft.source)
    assert found is not None, draft.source
    return found


def results(operator, draft, count=40):
    """Distinct outcomes of an operator over many seeds."""
    found = {}
    for seed in range(count):
        edit = operator(draft, np.random.default_rng(seed))
        if edit is not None:
            found[edit[0].code] = edit
            compile(edit[0].source, "<child>", "exec")
            effect(edit[0])
    assert found, "the operator applies to this recipe"
    return list(found.values())


def test_schedules_keep_the_function(draft_of):
    draft = draft_of(RECIPE)
    found = results(schedule.schedule, draft, 150)
    words = " ".join(text for _, text in found)
    for kind in ("linear in depth", "by layer", "by block", "by role", "split at", "early and late"):
        assert kind in words
    for child, text in found:
        assert np.allclose(effect(child), effect(draft)), text
        assert child.size > draft.size


def test_a_linear_schedule_reads_well(draft_of):
    found = {text: child for child, text in results(schedule.schedule, draft_of(RECIPE), 150)}
    knob = 'ja_weight = knob("ja_weight", 0.5, low=0.0, high=1.5)\n'
    first, last = (knob.replace("ja_weight", f"ja_weight_{end}") for end in ("first", "last"))
    line = "    ja_weight = ja_weight_first + site.depth * (ja_weight_last - ja_weight_first)\n"
    expected = RECIPE.replace(knob, first + last).replace('weight."""\n', f'weight."""\n{line}')
    assert found["ja_weight linear in depth"].code == expected


def test_modulating_composes_and_flattening_undoes(draft_of):
    draft = draft_of(RECIPE)
    wide = next(child for child, text in results(schedule.schedule, draft) if text == "ja_weight by layer")
    for child, _ in results(schedule.modulate, wide, 10):
        assert np.allclose(effect(child), effect(wide))
        assert "_factor" in child.code
    flat, text = results(schedule.flatten, wide, 4)[0]
    assert text == "ja_weight constant at 0.5"
    assert "at_place" not in flat.code and np.allclose(effect(flat), effect(draft))


def test_depths_are_not_scheduled(draft_of):
    text = RECIPE.replace("return task", "if site.depth < ja_weight:\n        return ja\n    return task")
    for _, words in results(schedule.schedule, draft_of(text)):
        assert not words.startswith("ja_weight")


def test_exposing_constants(draft_of):
    child, text = results(structure.expose, draft_of(CONSTANTS), 3)[0]
    assert text == "tune ja_weight, math_weight, ties_density"
    assert np.allclose(effect(child), effect(draft_of(CONSTANTS)))
    assert "ties(base, [ja, math], [ja_weight, math_weight], density=ties_density)" in child.code
    assert child.knobs["ties_density"].values == (0.4,)


def test_swapping_methods_keeps_the_mix(draft_of):
    found = {text: child for child, text in results(structure.swap_method, draft_of(RECIPE))}
    kept = ["task_arithmetic -> dare_linear", "task_arithmetic -> dare_ties"]
    assert {*kept, "task_arithmetic -> ties"} <= found.keys()
    for text in kept:
        before, after = (effect(one).reshape(-1, 4)[:, :2] for one in (draft_of(RECIPE), found[text]))
        assert np.allclose(before, after)


def test_a_method_that_is_not_imported_is_imported_inside(draft_of):
    draft = draft_of(RECIPE)
    child = next(child for child, text in results(structure.swap_method, draft) if text.endswith("dare_linear"))
    assert child.code.startswith("from evolve.methods import dare_linear\n\nja_weight")


def test_donors_come_and_go(draft_of):
    knob = 'w = knob("w", 0.5, low=0.0, high=1.0)\n'
    draft = draft_of(f"{knob}\n\ndef merge(site, base, ja):\n    return ties(base, [ja], [w])\n")
    child, text = results(structure.add_donor, draft, 3)[0]
    assert text == "add donor math"
    assert "def merge(site, base, ja, math):" in child.code and "[ja, math], [w, math_weight]" in child.code
    smaller = {text: child for child, text in results(structure.drop_donor, draft_of(RECIPE))}
    assert set(smaller) == {"drop ja", "drop math"}
    assert "math" not in smaller["drop math"].code


def test_nesting_and_back(draft_of):
    draft = draft_of(RECIPE)
    found = results(structure.nest, draft)
    assert {text.split(" ")[0] for _, text in found} == {"slerp", "linear", "layer_swap"}
    for child, _ in found:
        back = [other.code.lstrip("\n") for other, _ in results(structure.unnest, child, 3)]
        assert back == [RECIPE]


def test_a_lone_donor_becomes_a_mix(draft_of):
    draft = draft_of('def merge(site, ja):\n    """Japanese."""\n    return ja\n')
    child, _ = results(structure.wrap_donor, draft, 2)[0]
    assert "task_arithmetic(base, [ja, math], [ja_weight, math_weight])" in child.code
    assert "def merge(site, ja, base, math):" in child.code


def test_any_number_of_donors_as_keywords(draft_of):
    text = "def merge(site, **donors):\n    return ties(donors['base'], [donors['ja']], [1.0])\n"
    child, _ = structure.add_donor(draft_of(text), np.random.default_rng(0))
    assert """[donors['ja'], donors["math"]], [1.0, math_weight]""" in child.code


def test_conditions_come_and_go(draft_of):
    draft = draft_of(RECIPE)
    for child, text in results(structure.add_condition, draft, 10):
        assert " alone where site." in text
        back = [other.code for other, _ in results(structure.drop_condition, child, 2)]
        assert RECIPE in back or "ja_weight" in back[0]


def test_outer_layers_of_one_donor(draft_of):
    child, _ = results(structure.wrap_layer_swap, draft_of(RECIPE), 2)[0]
    assert "    inner = task_arithmetic(" in child.code and "return layer_swap(site, inner, " in child.code


def test_lists_in_variables_are_understood(draft_of):
    text = RECIPE.replace(
        "return task_arithmetic(base, [ja, math], [ja_weight, math_weight])",
        "weights = [ja_weight, math_weight]\n    return task_arithmetic(base, [ja, math], weights)",
    )
    child = {words: child for child, words in results(structure.drop_donor, draft_of(text))}["drop ja"]
    assert "weights =" not in child.code and "ja_weight" not in child.knobs
    assert "def merge(site, base, math):" in child.code
    assert "return task_arithmetic(base, [math], [math_weight])" in child.code


def test_perturbations_stay_in_bounds(draft_of):
    draft = draft_of(RECIPE)
    for child, text in results(perturb.perturb_knobs, draft, 60):
        assert text.startswith("perturb ") and "->" in text
        for knob in child.knobs.values():
            assert all(knob.range.low <= value <= knob.range.high for value in knob.values)


def test_a_bound_that_was_run_into_moves(draft_of):
    draft = draft_of(RECIPE.replace("0.5, low", "1.5, low"))
    child, text = results(perturb.widen, draft, 2)[0]
    assert text == "widen ja_weight: high -> 2.25" and child.knobs["ja_weight"].range.high == 2.25


def mate_of(draft, text):
    scope = draft.scope
    return Parent("2", scope.before + text + scope.after, 0.7)


def test_steps_between_programs(draft_of):
    plain = draft_of(RECIPE)
    mate = mate_of(plain, RECIPE.replace("0.5, low", "0.9, low"))
    draft = draft_of(RECIPE, mate=mate)
    assert any("ja_weight 0.5 -> 0." in text for _, text in results(perturb.blend, draft, 10))
    moved = [child.knobs["ja_weight"].values[0] for child, _ in results(perturb.differential, draft, 20)]
    assert np.mean(moved) > 0.55, "towards the better one"


def test_taking_the_mate_s_schedule(draft_of):
    plain = draft_of(RECIPE)
    wide = next(child for child, text in results(schedule.schedule, plain) if text == "ja_weight by layer")
    draft = draft_of(RECIPE, mate=mate_of(plain, wide.code))
    child, text = results(crossing.take_schedule, draft, 2)[0]
    assert text == "ja_weight as in the mate"
    assert np.allclose(effect(child), effect(wide))


def test_grafting_the_mate_twice(draft_of):
    plain = draft_of(RECIPE)
    mate = mate_of(plain, RECIPE.replace("task_arithmetic", "ties").replace("0.5, low", "0.9, low"))
    child, text = results(crossing.graft, draft_of(RECIPE, mate=mate), 3)[0]
    assert text.startswith("cross: the mate's recipe where") and "def mate_recipe(" in child.code
    again = draft_of(RECIPE, mate=mate_of(plain, child.code))
    codes = [other.code for other, _ in results(crossing.graft, again, 5)]
    assert all("def mate_recipe(" in code and "def mate_recipe_2(" in code for code in codes)


def test_programs(draft_of):
    text = "def place(n):\n    return [min(0.5, i / n + 2) for i in range(n)]\n"
    draft = draft_of(text, kind="program")
    changed = [text for _, text in [program.swap_operator(draft, np.random.default_rng(s)) for s in range(20)]]
    assert set(changed) == {"/ -> *", "+ -> -", "min -> max"}
    constants = {perturb.perturb_constant(draft, np.random.default_rng(s))[1].split(" ->")[0] for s in range(30)}
    assert constants == {"perturb constant 0.5", "perturb constant 2"}
    other = Parent("2", draft.scope.before + text.replace("0.5", "0.75") + draft.scope.after, 1.0)
    crossed = draft_of(text, kind="program", mate=other)
    child, words = program.take_function(crossed, np.random.default_rng(0))
    assert words == "place as in the mate" and "min(0.75" in child.code


@pytest.mark.parametrize(
    "text", ["x = 1\n", "def merge(site, ja): return ja\n", "def merge(site, **d):\n    return d['ja']\n"]
)
def test_operators_that_do_not_fit_say_so(draft_of, text):
    from evolve.propose.mutator.registry import OPERATORS

    draft = draft_of(text)
    for operator in OPERATORS:
        for seed in range(4):
            edit = operator.apply(draft, np.random.default_rng(seed)) if operator.apply is not None else None
            if edit is not None:
                compile(edit[0].source, "<child>", "exec")
