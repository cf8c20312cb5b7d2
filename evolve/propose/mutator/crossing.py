"""Operators that take parts of a mate."""

from __future__ import annotations

import libcst as cst
import numpy as np

from evolve.errors import PatchError
from evolve.propose.base import Parent
from evolve.propose.blocks import find_blocks
from evolve.propose.mutator.draft import ENTRIES, Draft, assigned_name, parameters
from evolve.propose.mutator.effect import METHODS
from evolve.propose.mutator.perturb import Edit
from evolve.propose.mutator.schedule import condition
from evolve.propose.mutator.weights import (
    after_docstring,
    free_knobs,
    insert_statement,
    merge_statements,
    named_knobs,
    names_in,
    text_of_node,
)


def _mate(draft: Draft, rng: np.random.Generator) -> Draft | None:
    """The block of the mate (or of an inspiration) that defines ``merge``."""
    request = draft.scope.request
    mates: tuple[Parent, ...] = (request.mate,) if request.mate is not None else request.inspirations
    usable = [mate for mate in mates if mate.error is None and mate.source != request.parent.source]
    if not usable:
        return None
    mate = usable[int(rng.integers(len(usable)))]
    try:
        for block in find_blocks(mate.source):
            tree = cst.parse_module(block.text(mate.source))
            theirs = Draft(tree, draft.scope)
            if theirs.merge is not None:
                return theirs
    except (PatchError, cst.ParserSyntaxError):
        return None
    return None


def take_schedule(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """Takes the mate's schedule of a number that is a plain knob here."""
    theirs = _mate(draft, rng) if draft.merge is not None else None
    if theirs is None:
        return None
    known = {item.variable: item for item in named_knobs(theirs)}
    here = {item.variable: item for item in free_knobs(draft)}
    found: list[tuple[str, cst.BaseExpression]] = []
    for statement in merge_statements(theirs):
        target = assigned_name(statement)
        allowed = known.keys() | theirs.functions.keys() | {theirs.site, "layer", "depth", "role", "block", "index"}
        if target is not None and target[0] in here and names_in(target[1]) <= allowed:
            found.append(target)
    if not found:
        return None
    variable, expression = found[int(rng.integers(len(found)))]
    used = names_in(expression)
    if (used & known.keys()) & draft.names:
        return None
    for name in sorted(used & theirs.functions.keys()):
        if name not in draft.functions:
            draft = draft.with_function(text_of_node(theirs.functions[name].with_changes(leading_lines=[])))
    old = next(item for item in named_knobs(draft) if item.variable == variable)
    first, *rest = [known[name].statement for name in sorted(used & known.keys())] or [old.statement]
    draft = draft.swap(old.statement, first.with_changes(leading_lines=old.statement.leading_lines).deep_clone())
    for statement in rest:
        draft = draft.with_statement(text_of_node(statement.with_changes(leading_lines=[])))
    text = f"{variable} = {_renamed_text(expression, {theirs.site: draft.site})}\n"
    return insert_statement(draft, text, after_docstring(draft)), f"{variable} as in the mate"


def graft(draft: Draft, rng: np.random.Generator) -> Edit | None:
    """The mate's recipe where a test of the site holds, or below a depth, the parent's own elsewhere."""
    theirs = _mate(draft, rng) if draft.merge is not None else None
    if theirs is None or draft.merge is None or theirs.merge is None or theirs.merge.params.star_kwarg is not None:
        return None
    if "stack" in theirs.functions or len(draft.code) + len(theirs.code) > 6000:
        return None
    names = _new_names(draft, theirs)
    parts = [_renamed(item, names) for item in theirs.tree.body if _is_definition(item)]
    helper = names["merge"]
    arguments = parameters(theirs.merge)[1:]
    missing = [name for name in arguments if name not in draft.scope.request.donors]
    if missing or draft.merge.params.star_kwarg is not None:
        return None
    for name in arguments:
        draft = draft.with_parameter(name)
    for name in sorted({"knob", *METHODS} & {name for part in parts for name in names_in(part)}):
        draft = draft.with_import(name)
    draft = _with_parts(draft, parts)
    found = condition(draft, rng)
    if found is None or rng.random() < 0.4:
        border = draft.fresh("crossing_depth")
        draft = draft.with_knob(border, repr(round(float(rng.uniform(0.15, 0.85)), 2)), 0.0, 1.0)
        test = f"{draft.site}.depth < {border}"
    else:
        test = found[0]
    call = ", ".join([draft.site, *(f"{name}={name}" for name in arguments)])
    draft = insert_statement(draft, f"if {test}:\n    return {helper}({call})\n", after_docstring(draft))
    return draft.prune(), f"cross: the mate's recipe where {test}"


def _is_definition(item: cst.CSTNode) -> bool:
    return isinstance(item, cst.FunctionDef) or assigned_name(item) is not None


def _new_names(draft: Draft, theirs: Draft) -> dict[str, str]:
    """New names for the mate's definitions that are taken here; helpers of equal text keep theirs."""
    names: dict[str, str] = {}
    for item in theirs.tree.body:
        target = assigned_name(item)
        name = item.name.value if isinstance(item, cst.FunctionDef) else (target[0] if target else None)
        own = draft.functions.get(name or "")
        if name is None or (isinstance(item, cst.FunctionDef) and own is not None and _same(own, item, name)):
            continue
        names[name] = draft.fresh("mate_recipe" if name == "merge" else name, names.values())
    return names


def _same(one: cst.FunctionDef, other: cst.FunctionDef, name: str) -> bool:
    return name not in ENTRIES and one.with_changes(leading_lines=[]).deep_equals(other.with_changes(leading_lines=[]))


class _Rename(cst.CSTTransformer):
    """Renames variables and functions, and with a variable the knob of the same name."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:
        return updated_node.with_changes(attr=original_node.attr)

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        return updated_node.with_changes(keyword=original_node.keyword)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        return updated_node.with_changes(value=self.names.get(original_node.value, original_node.value))

    def leave_SimpleString(self, original_node: cst.SimpleString, updated_node: cst.SimpleString) -> cst.SimpleString:
        value = original_node.evaluated_value
        if isinstance(value, str) and value in self.names:
            return updated_node.with_changes(value=f'"{self.names[value]}"')
        return updated_node


def _renamed(item: cst.CSTNode, names: dict[str, str]) -> cst.CSTNode:
    changed = item.visit(_Rename(names))
    assert isinstance(changed, cst.CSTNode)
    return changed


def _renamed_text(item: cst.CSTNode, names: dict[str, str]) -> str:
    return text_of_node(_renamed(item, names))


def _with_parts(draft: Draft, parts: list[cst.CSTNode]) -> Draft:
    """The draft with the mate's statements and functions added before its own ``merge``."""
    for part in parts:
        if isinstance(part, cst.FunctionDef):
            if part.name.value not in draft.functions:
                draft = draft.with_function(text_of_node(part.with_changes(leading_lines=[])))
        elif isinstance(part, cst.SimpleStatementLine):
            draft = draft.with_statement(text_of_node(part.with_changes(leading_lines=[])))
    return draft
