"""Operators for ordinary programs: small edits that keep a program valid."""

from __future__ import annotations

import libcst as cst
import numpy as np

from evolve.errors import PatchError
from evolve.propose.base import Parent
from evolve.propose.blocks import find_blocks
from evolve.propose.mutator.draft import Draft, find, parameters
from evolve.propose.mutator.perturb import Edit
from evolve.propose.mutator.weights import text_of_node

_OPERATORS: dict[type[cst.BaseBinaryOp], type[cst.BaseBinaryOp]] = {
    cst.Add: cst.Subtract, cst.Subtract: cst.Add, cst.Multiply: cst.Divide, cst.Divide: cst.Multiply,
}  # fmt: skip
_FUNCTIONS = {"min": "max", "max": "min", "sin": "cos", "cos": "sin", "minimum": "maximum", "maximum": "minimum"}


def swap_operator(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Exchanges + and -, * and /, min and max, sin and cos at one place."""
    operators = find(draft.tree, lambda node: type(node) in _OPERATORS)
    calls = [n for n in find(draft.tree, lambda node: isinstance(node, cst.Call)) if _function(n) in _FUNCTIONS]
    places = [*operators, *calls]
    if not places:
        return None
    place = places[int(rng.integers(len(places)))]
    if isinstance(place, cst.Call):
        old = _function(place)
        name = place.func.attr if isinstance(place.func, cst.Attribute) else place.func
        return draft.swap(name, cst.Name(_FUNCTIONS[old])), f"{old} -> {_FUNCTIONS[old]}"
    assert isinstance(place, cst.BaseBinaryOp)
    new = _OPERATORS[type(place)]()
    return draft.swap(place, new), f"{text_of_node(place).strip()} -> {text_of_node(new).strip()}"


def _function(node: cst.CSTNode) -> str:
    func = node.func if isinstance(node, cst.Call) else None
    if isinstance(func, cst.Attribute):
        return func.attr.value
    return func.value if isinstance(func, cst.Name) else ""


def take_function(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Takes the mate's text of a function that both programs define with the same parameters."""
    theirs = _functions(draft.scope.request.mate, draft.scope.pool)
    shared = [
        name
        for name, function in draft.functions.items()
        if name in theirs
        and parameters(theirs[name]) == parameters(function)
        and text_of_node(theirs[name].body) != text_of_node(function.body)
    ]
    if not shared:
        return None
    name = shared[int(rng.integers(len(shared)))]
    own = draft.functions[name]
    return draft.swap(own, theirs[name].with_changes(leading_lines=own.leading_lines)), f"{name} as in the mate"


def _functions(mate: Parent | None, pool: tuple[Parent, ...]) -> dict[str, cst.FunctionDef]:
    """Top-level functions in the blocks of the mate, else of the first other program."""
    other = mate or (pool[0] if pool else None)
    found: dict[str, cst.FunctionDef] = {}
    if other is None:
        return found
    try:
        trees = [cst.parse_module(block.text(other.source)) for block in find_blocks(other.source)]
    except (PatchError, cst.ParserSyntaxError):
        return found
    for item in (item for tree in trees for item in tree.body):
        if isinstance(item, cst.FunctionDef):
            found[item.name.value] = item
    return found
