"""A program under the mutator's knife: one block as a syntax tree, and what it may refer to."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import libcst as cst

from evolve.propose.base import Parent, ProposalRequest
from evolve.propose.blocks import Block
from evolve.propose.mutator.literals import Knob, find_knobs, statement_knobs

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement

ENTRIES = frozenset({"merge", "stack", "gather"})
"""Functions that the engine calls; they are never pruned or renamed."""


@dataclass(frozen=True)
class Scope:
    """What surrounds the block: the text before and after it, names defined there, and the request."""

    before: str
    after: str
    outside_names: frozenset[str]
    imported: frozenset[str]
    request: ProposalRequest

    @property
    def pool(self) -> tuple[Parent, ...]:
        """Other scored programs, without repetition."""
        request = self.request
        mates = (request.mate,) if request.mate is not None else ()
        seen = {request.parent.source}
        found = []
        for parent in (*mates, *request.inspirations, *request.relatives):
            if parent.score is not None and parent.source not in seen:
                seen.add(parent.source)
                found.append(parent)
        return tuple(found)


@dataclass(frozen=True)
class Draft:
    """The tree of one block; operators return changed copies."""

    tree: cst.Module
    scope: Scope

    @property
    def code(self) -> str:
        return self.tree.code

    @property
    def source(self) -> str:
        """The whole program, as the evaluator of effects reads it."""
        return self.scope.before + self.code + self.scope.after

    @cached_property
    def knobs(self) -> dict[str, Knob]:
        return find_knobs(self.tree)

    @cached_property
    def size(self) -> int:
        """Coordinates of all knobs."""
        return sum(len(knob.values) for knob in self.knobs.values())

    @cached_property
    def merge(self) -> cst.FunctionDef | None:
        """The block's ``merge`` function."""
        return self.functions.get("merge")

    @cached_property
    def functions(self) -> dict[str, cst.FunctionDef]:
        return {item.name.value: item for item in self.tree.body if isinstance(item, cst.FunctionDef)}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every identifier in the block or defined outside it."""
        return frozenset(identifiers(self.tree)) | self.scope.outside_names

    @property
    def site(self) -> str:
        """The name of ``merge``'s first parameter."""
        assert self.merge is not None, "operators check for merge first"
        params = self.merge.params.posonly_params or self.merge.params.params
        return params[0].name.value if params else "site"

    def with_tree(self, tree: cst.Module) -> Draft:
        return replace(self, tree=tree)

    def swap(self, old: cst.CSTNode, new: cst.CSTNode) -> Draft:
        """The draft with one node (found by identity) exchanged."""
        tree = self.tree.deep_replace(old, new)
        assert isinstance(tree, cst.Module), "a node of the tree is exchanged, not the tree"
        return self.with_tree(tree)

    def fresh(self, wanted: str, taken: Collection[str] = ()) -> str:
        """An identifier close to ``wanted`` that neither the program uses nor ``taken`` holds."""
        name = re.sub(r"\W+", "_", wanted).strip("_") or "value"
        if name[0].isdigit() or keyword.iskeyword(name):
            name = f"k_{name}"
        candidates: Iterator[str] = (name if n == 1 else f"{name}_{n}" for n in range(1, 10_000))
        used = self.names | self.knobs.keys() | set(taken)
        return next(item for item in candidates if item not in used)

    def with_statement(self, text: str, before: str = "merge") -> Draft:
        """The draft with a top-level statement added: after the last knob, else before the named function."""
        statement = cst.parse_statement(text, config=self.tree.config_for_parsing)
        body = list(self.tree.body)
        places = [index for index, item in enumerate(body) if _declares_knob(item)]
        stop = next(
            (i for i, item in enumerate(body) if isinstance(item, cst.FunctionDef) and item.name.value == before), 0
        )
        usable = [index for index in places if index < stop]
        if usable:
            body.insert(usable[-1] + 1, statement)
        else:
            body.insert(stop, _set_apart(statement) if stop and _is_import(body[stop - 1]) else statement)
            body[stop + 1] = _set_apart(body[stop + 1])
        return self.with_tree(self.tree.with_changes(body=body))

    def with_function(self, text: str, before: str = "merge") -> Draft:
        """The draft with a top-level function added before the named one."""
        statement = cst.parse_statement(text, config=self.tree.config_for_parsing)
        body = list(self.tree.body)
        place = next(
            i for i, item in enumerate(body) if isinstance(item, cst.FunctionDef) and item.name.value == before
        )
        body.insert(place, statement.with_changes(leading_lines=[_blank()] * 2 if place else []))
        old = body[place + 1]
        assert isinstance(old, cst.FunctionDef)
        comments = [line for line in old.leading_lines if line.comment is not None]
        body[place + 1] = old.with_changes(leading_lines=[_blank()] * 2 + comments)
        return self.with_tree(self.tree.with_changes(body=body))

    def with_knob(self, name: str, value: str, low: float, high: float) -> Draft:
        """The draft with ``name = knob(...)``; ``value`` is source text."""
        return self.with_statement(f'{name} = knob("{name}", {value}, low={low!r}, high={high!r})\n').with_import(
            "knob"
        )

    def with_import(self, name: str) -> Draft:
        """The draft able to call a method (or ``knob``) that the program may not have imported."""
        if name in self.scope.imported or name in self.functions or _imports(self.tree, name):
            return self
        module = "evolve.recipe" if name == "knob" else "evolve.methods"
        statement = cst.parse_statement(f"from {module} import {name}\n", config=self.tree.config_for_parsing)
        body = [statement, *self.tree.body]
        if len(body) > 1:
            body[1] = _set_apart(body[1])
        return self.with_tree(self.tree.with_changes(body=body))

    def with_parameter(self, donor: str) -> Draft:
        """The draft whose ``merge`` takes the donor."""
        assert self.merge is not None
        params = self.merge.params
        if donor in parameters(self.merge):
            return self
        added = cst.Param(cst.Name(donor))
        if params.star_kwarg is not None:
            changed = params.with_changes(kwonly_params=(*params.kwonly_params, added))
            if not params.kwonly_params and isinstance(params.star_arg, cst.MaybeSentinel):
                changed = params.with_changes(params=(*params.params, added))
        else:
            changed = params.with_changes(params=(*params.params, added))
        return self.swap(params, changed)

    def expressions(self, accept: Callable[[cst.CSTNode], bool]) -> list[cst.CSTNode]:
        """Nodes of ``merge`` that ``accept`` takes, in order of appearance."""
        assert self.merge is not None
        return find(self.merge.body, accept)

    def prune(self) -> Draft:
        """The draft without knobs, helper functions, local variables and donors that nothing uses any more."""
        draft = self
        while True:
            smaller = _prune_once(draft)
            if smaller is draft:
                return draft
            draft = smaller


def make_scope(source: str, block: Block, request: ProposalRequest) -> Scope:
    """The names that the text outside a block defines, found in the rest of the source."""
    before, after = source[: block.start], source[block.end :]
    rest = before + after
    try:
        tree = ast.parse(rest)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = frozenset(re.findall(r"[^\W\d]\w*", rest))
        return Scope(before, after, words, words, request)
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | imported
    names |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return Scope(before, after, frozenset(names), frozenset(imported), request)


def parameters(function: cst.FunctionDef) -> list[str]:
    """Names of a function's plain parameters."""
    params = function.params
    return [param.name.value for param in (*params.posonly_params, *params.params, *params.kwonly_params)]


def find(tree: cst.CSTNode, accept: Callable[[cst.CSTNode], bool]) -> list[cst.CSTNode]:
    """Nodes below ``tree`` (itself included), parents before children."""
    found = [tree] if accept(tree) else []
    for child in tree.children:
        found += find(child, accept)
    return found


@lru_cache(maxsize=4096)
def identifiers(tree: cst.CSTNode) -> tuple[str, ...]:
    """Every identifier below a node, once per occurrence; remembered, since nodes are immutable and shared."""
    if isinstance(tree, cst.Module):
        return tuple(name for item in tree.body for name in identifiers(item))
    return tuple(
        node.value for node in find(tree, lambda item: isinstance(item, cst.Name)) if isinstance(node, cst.Name)
    )


def uses(tree: cst.CSTNode, name: str) -> int:
    """How often an identifier occurs below ``tree``."""
    return identifiers(tree).count(name)


def assigned_name(statement: cst.CSTNode) -> tuple[str, cst.BaseExpression] | None:
    """``(x, value)`` for a statement line ``x = value``."""
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return None
    line = statement.body[0]
    if isinstance(line, cst.Assign) and len(line.targets) == 1 and isinstance(line.targets[0].target, cst.Name):
        return line.targets[0].target.value, line.value
    return None


def _declares_knob(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and bool(statement_knobs(statement))


def _imports(tree: cst.Module, name: str) -> bool:
    lines = [line for item in tree.body if isinstance(item, cst.SimpleStatementLine) for line in item.body]
    return any(isinstance(line, (cst.Import, cst.ImportFrom)) and uses(line, name) > 0 for line in lines)


def _blank() -> cst.EmptyLine:
    return cst.EmptyLine(indent=False)


def _set_apart(old: Statement) -> Statement:
    """A blank line before a statement that now follows others, two before a function; comments stay with it."""
    if _is_import(old):
        return old
    comments = [line for line in getattr(old, "leading_lines", ()) if line.comment is not None]
    blanks = [_blank()] * (2 if isinstance(old, cst.FunctionDef) else 1)
    return old.with_changes(leading_lines=[*blanks, *comments])


def _is_import(statement: cst.CSTNode) -> bool:
    lines = statement.body if isinstance(statement, cst.SimpleStatementLine) else ()
    return any(isinstance(line, (cst.Import, cst.ImportFrom)) for line in lines)


def _prune_once(draft: Draft) -> Draft:
    if draft.merge is None:
        return draft
    counts: dict[str, int] = {}
    for name in identifiers(draft.tree):
        counts[name] = counts.get(name, 0) + 1
    keep: Collection[str] = ENTRIES | draft.scope.outside_names
    for item in draft.tree.body:
        target = assigned_name(item)
        if _unused_import(item, counts):
            body = [other for other in draft.tree.body if other is not item]
            return draft.with_tree(draft.tree.with_changes(body=body))
        unused_knob = target is not None and counts[target[0]] == 1 and target[0] not in keep and _declares_knob(item)
        if unused_knob or _unused_function(item, counts, keep):
            body = [other for other in draft.tree.body if other is not item]
            return draft.with_tree(draft.tree.with_changes(body=body))
    for line in draft.merge.body.body:
        target = assigned_name(line)
        if target is not None and uses(draft.merge, target[0]) == 1:
            tree = draft.tree.deep_remove(line)
            assert isinstance(tree, cst.Module)
            return draft.with_tree(tree)
    params = draft.merge.params
    for param in params.params[1:]:
        if uses(draft.merge.body, param.name.value) == 0 and param.name.value in draft.scope.request.donors:
            left = [
                other.with_changes(comma=cst.MaybeSentinel.DEFAULT) for other in params.params if other is not param
            ]
            return draft.swap(params, params.with_changes(params=left))
    return draft


def _unused_import(item: cst.CSTNode, counts: dict[str, int]) -> bool:
    """Whether a statement only imports one method or ``knob`` that nothing uses."""
    line = item.body[0] if isinstance(item, cst.SimpleStatementLine) and len(item.body) == 1 else None
    if not isinstance(line, cst.ImportFrom) or isinstance(line.names, cst.ImportStar) or len(line.names) != 1:
        return False
    alias, module = line.names[0], line.module
    ours = module is not None and identifiers(module) in (("evolve", "methods"), ("evolve", "recipe"))
    return ours and alias.asname is None and isinstance(alias.name, cst.Name) and counts[alias.name.value] == 1


def _unused_function(item: cst.CSTNode, counts: dict[str, int], keep: Collection[str]) -> bool:
    return isinstance(item, cst.FunctionDef) and item.name.value not in keep and counts[item.name.value] == 1
