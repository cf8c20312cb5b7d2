"""Operators on methods, donors and conditions of a recipe."""

from __future__ import annotations

import re

import libcst as cst
import numpy as np

from evolve.propose.mutator.calls import (
    ALIKE,
    OPTIONS,
    MethodCall,
    donor_expression,
    method_calls,
    swap_expression,
)
from evolve.propose.mutator.draft import Draft, parameters
from evolve.propose.mutator.literals import function_name, number_of
from evolve.propose.mutator.perturb import Edit
from evolve.propose.mutator.schedule import condition
from evolve.propose.mutator.weights import before_return, insert_statement, merge_statements, return_value, text_of_node

WEIGHT_LOW, WEIGHT_HIGH = 0.0, 1.5


def _pick_call(draft: Draft, rng: np.random.Generator) -> MethodCall | None:
    calls = method_calls(draft) if draft.merge is not None else []
    return calls[int(rng.integers(len(calls)))] if calls else None


def _start(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 2)


def _base_name(draft: Draft) -> str | None:
    """The donor that deltas are taken against: ``base``, else the first donor."""
    donors = draft.scope.request.donors
    return "base" if "base" in donors else (donors[0] if donors else None)


def _word(expression: str) -> str:
    """A name for what an expression stands for: its first identifier that is no method."""
    names = [name for name in re.findall(r"[^\W\d]\w*", expression) if name not in (*OPTIONS, "slerp", "layer_swap")]
    return names[0] if names else "mix"


def swap_method(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Exchanges a method for another; a new density starts high, where the methods are alike."""
    call = _pick_call(draft, rng)
    if call is None or call.weights is None:
        return None
    base = call.base or _base_name(draft)
    if base is None:
        return None
    choices = [name for name in (*ALIKE, "linear") if name != call.method and not (name == "linear" and not call.base)]
    method = choices[int(rng.choice(len(choices), p=_shares(choices)))]
    options = {name: text for name, text in call.options.items() if name in OPTIONS[method]}
    if call.base is None:
        draft, base = donor_expression(draft, base)
        call = next(item for item in method_calls(draft) if item.text == call.text)
        options.pop("normalize", None)
    if "density" in OPTIONS[method] and "density" not in options:
        options["density"] = draft.fresh(f"{method}_density")
        draft = call.changed(draft, method=method, base=base, options=_ordered(method, options, rng))
        draft = draft.with_knob(options["density"], repr(_start(rng, 0.4, 0.95)), 0.05, 1.0)
    else:
        draft = call.changed(draft, method=method, base=base, options=_ordered(method, options, rng))
    return draft.prune(), f"{call.method} -> {method}"


def _shares(choices: list[str]) -> list[float]:
    weights = [0.3 if name == "linear" else 1.0 for name in choices]
    return [weight / sum(weights) for weight in weights]


def _ordered(method: str, options: dict[str, str], rng: np.random.Generator) -> dict[str, str]:
    """Options in the signature's order; sums of deltas stay sums more often than they become averages."""
    if method == "ties" and "normalize" not in options and rng.random() < 0.7:
        options["normalize"] = "False"
    return {name: options[name] for name in OPTIONS[method] if name in options}


def add_donor(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """A further donor with a small weight of its own."""
    call = _pick_call(draft, rng)
    if call is None or call.weights is None:
        return None
    used = {*call.tensors, call.base}
    absent = [donor for donor in draft.scope.request.donors if donor not in used and donor != _base_name(draft)]
    if not absent:
        return None
    donor = absent[int(rng.integers(len(absent)))]
    weight = draft.fresh(f"{donor}_weight")
    before = call
    draft, expression = donor_expression(draft, donor)
    call = next(item for item in method_calls(draft) if item.text == before.text)
    weights = (*(call.weights or ()), weight)
    draft = call.changed(draft, tensors=(*call.tensors, expression), weights=weights)
    value = _start(rng, 0.05, 0.4)
    return draft.with_knob(weight, repr(value), WEIGHT_LOW, WEIGHT_HIGH), f"add donor {donor}"


def drop_donor(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """One donor fewer in a method call of at least two."""
    call = _pick_call(draft, rng)
    if call is None or len(call.tensors) < 2:
        return None
    gone = int(rng.integers(len(call.tensors)))
    tensors = tuple(text for index, text in enumerate(call.tensors) if index != gone)
    weights = None if call.weights is None else tuple(t for index, t in enumerate(call.weights) if index != gone)
    return call.changed(draft, tensors=tensors, weights=weights).prune(), f"drop {call.tensors[gone]}"


def _donor_places(draft: Draft) -> list[cst.Name]:
    """Where ``merge`` returns a donor or lists it as a tensor of a method."""
    donors = set(draft.scope.request.donors)
    found = []
    for node in draft.expressions(lambda n: isinstance(n, (cst.Return, cst.Element))):
        value = node.value if isinstance(node, (cst.Return, cst.Element)) else None
        if isinstance(value, cst.Name) and value.value in donors:
            found.append(value)
    return found


def nest(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Puts a blend of two donors in the place of one: slerp, linear, or another donor in the outer layers."""
    places = _donor_places(draft) if draft.merge is not None else []
    if not places:
        return None
    place = places[int(rng.integers(len(places)))]
    # A share of the base would only scale the donor's weight.
    others = [donor for donor in draft.scope.request.donors if donor not in (place.value, _base_name(draft))]
    if not others:
        return None
    donor = others[int(rng.integers(len(others)))]
    share = draft.fresh(f"{donor}_share")
    method = str(rng.choice(["slerp", "linear", "layer_swap"], p=[0.45, 0.35, 0.2]))
    own = place.value
    if method == "slerp":
        text = f"slerp({own}, {donor}, {share})"
    elif method == "linear":
        text = f"linear([{own}, {donor}], [1 - {share}, {share}])"
    else:
        text = f"layer_swap({draft.site}, {own}, {donor}, bottom={share}, top={share})"
    draft = swap_expression(draft, place, text).with_import(method)
    if donor not in parameters(_merge(draft)):
        draft, expression = donor_expression(draft, donor)
        if expression != donor:
            return None
    draft = draft.with_knob(share, repr(_start(rng, 0.05, 0.3)), 0.0, 1.0 if method != "layer_swap" else 0.5)
    return draft, f"{method} of {own} and {donor}"


def _merge(draft: Draft) -> cst.FunctionDef:
    assert draft.merge is not None, "the caller checked"
    return draft.merge


def unnest(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Puts one of its tensors in the place of a nested method call."""
    if draft.merge is None:
        return None
    found: list[tuple[cst.Call, list[str]]] = []
    for node in draft.expressions(lambda n: isinstance(n, cst.Element)):
        call = node.value if isinstance(node, cst.Element) else None
        if isinstance(call, cst.Call) and function_name(call) in ("slerp", "layer_swap", *OPTIONS):
            donors = [
                text for text in re.findall(r"[^\W\d]\w*", text_of_node(call)) if text in draft.scope.request.donors
            ]
            if donors:
                found.append((call, donors))
    if not found:
        return None
    call, donors = found[int(rng.integers(len(found)))]
    text = f"{function_name(call)} of {' and '.join(dict.fromkeys(donors))} -> {donors[0]}"
    return swap_expression(draft, call, donors[0]).prune(), text


def wrap_donor(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Turns ``return ja`` into task arithmetic of ja and another donor."""
    base = _base_name(draft)
    value = return_value(draft) if draft.merge is not None else None
    donors = [donor for donor in draft.scope.request.donors if donor != base]
    if base is None or not isinstance(value, cst.Name) or value.value not in donors:
        return None
    own, others = value.value, [donor for donor in donors if donor != value.value]
    tensors = [own, *([others[int(rng.integers(len(others)))]] if others else [])]
    names = [draft.fresh(f"{donor}_weight") for donor in tensors]
    draft = swap_expression(draft, value, f"task_arithmetic({base}, [{', '.join(tensors)}], [{', '.join(names)}])")
    for donor in (base, *tensors):
        draft, expression = donor_expression(draft, donor)
        if expression != donor:
            return None
    for name, start in zip(names, (_start(rng, 0.5, 1.0), _start(rng, 0.1, 0.5)), strict=False):
        draft = draft.with_knob(name, repr(start), WEIGHT_LOW, WEIGHT_HIGH)
    return draft.with_import("task_arithmetic"), f"task arithmetic of {' and '.join(tensors)}"


def expose(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Turns the literal weights and options of a method call into knobs, so that they can be tuned and scheduled."""
    call = _pick_call(draft, rng)
    if call is None:
        return None
    weights = call.weights if call.weights is not None else ("1.0",) * len(call.tensors)
    knobs: list[tuple[str, float, float, float]] = []
    named = []
    for tensor, weight in zip(call.tensors, weights, strict=True):
        value = number_of(cst.parse_expression(weight))
        name = draft.fresh(f"{_word(tensor)}_weight")
        if value is None or any(name == other for other, *_ in knobs):
            named.append(weight)
            continue
        named.append(name)
        knobs.append((name, value, min(WEIGHT_LOW, 2 * value), max(WEIGHT_HIGH, 2 * value)))
    options = dict(call.options)
    for option, low, high in (("density", 0.05, 1.0), ("scale", 0.0, 2.0)):
        number = number_of(cst.parse_expression(options[option])) if option in options else None
        if number is not None:
            options[option] = draft.fresh(f"{call.method}_{option}")
            knobs.append((options[option], number, min(low, number), max(high, number)))
    if not knobs:
        return None
    draft = call.changed(draft, weights=tuple(named), options=options)
    for name, start, low, high in knobs:
        draft = draft.with_knob(name, repr(start), low, high)
    return draft, f"tune {', '.join(name for name, *_ in knobs)}"


def add_condition(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Returns one donor's weights unchanged where a test of the site holds."""
    found = condition(draft, rng) if draft.merge is not None else None
    if found is None or return_value(draft) is None:
        return None
    test, _ = found
    donors = draft.scope.request.donors
    donor = donors[int(rng.integers(len(donors)))] if donors else None
    if donor is None or test in text_of_node(_merge(draft)):
        return None
    draft, expression = donor_expression(draft, donor)
    draft = insert_statement(draft, f"if {test}:\n    return {expression}\n", before_return(draft))
    return draft, f"{donor} alone where {test}"


def drop_condition(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Removes an ``if`` statement of ``merge`` that is not its last statement."""
    if draft.merge is None:
        return None
    found = [item for item in merge_statements(draft)[:-1] if isinstance(item, cst.If)]
    if not found:
        return None
    gone = found[int(rng.integers(len(found)))]
    tree = draft.tree.deep_remove(gone)
    assert isinstance(tree, cst.Module)
    return draft.with_tree(tree).prune(), f"without the case {text_of_node(gone.test)}"


def wrap_layer_swap(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Keeps one donor in the outermost layers, the recipe so far between them."""
    value = return_value(draft) if draft.merge is not None else None
    donors = [donor for donor in draft.scope.request.donors if donor != _base_name(draft)]
    if value is None or not donors or "layer_swap" in text_of_node(value):
        return None
    donor = donors[int(rng.integers(len(donors)))]
    bottom, top = draft.fresh(f"{donor}_bottom"), draft.fresh(f"{donor}_top")
    inner = draft.fresh("inner")
    text = f"layer_swap({draft.site}, {inner}, {donor}, bottom={bottom}, top={top})"
    draft = swap_expression(draft, value, text).with_import("layer_swap")
    draft = insert_statement(draft, f"{inner} = {text_of_node(value)}\n", before_return(draft))
    draft, expression = donor_expression(draft, donor)
    if expression != donor:
        return None
    for name in (bottom, top):
        draft = draft.with_knob(name, repr(_start(rng, 0.0, 0.3)), 0.0, 0.5)
    return draft, f"{donor} in the outermost layers"
