"""The module-level numbers of a recipe that its merge function uses, and how a local expression takes their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from evolve.propose.mutator.draft import Draft, Statement, assigned_name, identifiers, uses
from evolve.propose.mutator.literals import Knob, read_knob

LONGEST_LINE = 100
"""Longer knobs stand on several lines; numbers grow a little when they are tuned."""


@dataclass(frozen=True)
class NamedKnob:
    """A statement ``variable = knob(...)`` at the top level of the block."""

    variable: str
    knob: Knob
    statement: cst.SimpleStatementLine

    @property
    def value(self) -> float:
        return self.knob.values[0]


@dataclass(frozen=True)
class NewKnob:
    """A knob to declare; ``values`` with one entry is a plain number unless ``wide``."""

    name: str
    values: Sequence[float]
    low: float
    high: float
    wide: bool = False

    @property
    def text(self) -> str:
        value = repr([float(v) for v in self.values]) if self.wide else repr(float(self.values[0]))
        line = f'{self.name} = knob("{self.name}", {value}, low={self.low!r}, high={self.high!r})'
        if len(line) <= LONGEST_LINE:
            return line + "\n"
        lines = [f'"{self.name}"', value, f"low={self.low!r}", f"high={self.high!r}"]
        return f"{self.name} = knob(\n" + "".join(f"    {line},\n" for line in lines) + ")\n"


def named_knobs(draft: Draft) -> list[NamedKnob]:
    """All knobs that a top-level statement binds to a variable."""
    found = []
    for item in draft.tree.body:
        target = assigned_name(item)
        if target is None or not isinstance(item, cst.SimpleStatementLine) or not isinstance(target[1], cst.Call):
            continue
        knob = read_knob(target[1])
        if knob is not None:
            found.append(NamedKnob(target[0], knob, item))
    return found


def free_knobs(draft: Draft) -> list[NamedKnob]:
    """Plain, real-valued knobs that ``merge`` reads and nothing else does: a local variable may take their place."""
    merge = draft.merge
    if merge is None:
        return []
    return [
        item
        for item in named_knobs(draft)
        if not item.knob.wide
        and not item.knob.range.integer
        and (inside := uses(merge.body, item.variable)) > 0
        and inside == uses(draft.tree, item.variable) - 1
        and item.variable not in local_names(merge)
        and item.variable not in draft.scope.outside_names
    ]


def local_names(function: cst.FunctionDef) -> list[str]:
    """Variables that a function's own statements (not those of inner blocks) assign, once per assignment."""
    return [target[0] for item in function.body.body if (target := assigned_name(item)) is not None]


def replace_knob(draft: Draft, old: NamedKnob, new: Sequence[NewKnob]) -> Draft:
    """The draft with other knobs declared where ``old`` was."""
    statements: list[Statement] = [parse_statement(draft, knob.text) for knob in new]
    body = list(draft.tree.body)
    place = next(index for index, item in enumerate(body) if item is old.statement)
    if statements:
        first = statements[0]
        assert isinstance(first, cst.SimpleStatementLine)
        statements[0] = first.with_changes(leading_lines=old.statement.leading_lines)
    body[place : place + 1] = statements
    return draft.with_tree(draft.tree.with_changes(body=body)).with_import("knob")


def parse_statement(draft: Draft, text: str) -> Statement:
    return cst.parse_statement(text, config=draft.tree.config_for_parsing)


def merge_statements(draft: Draft) -> list[cst.BaseStatement]:
    """The statements of ``merge``; empty where its body stands on the line of its ``def``."""
    assert draft.merge is not None
    body = draft.merge.body
    return [item for item in body.body if isinstance(item, cst.BaseStatement)]


def insert_statement(draft: Draft, text: str, place: int) -> Draft:
    """The draft with a statement at ``place`` of ``merge``'s body."""
    assert draft.merge is not None
    body = draft.merge.body
    if not isinstance(body, cst.IndentedBlock):
        body = cst.IndentedBlock(
            [cst.SimpleStatementLine([item]) for item in body.body if isinstance(item, cst.BaseSmallStatement)]
        )
    statements = list(body.body)
    statements.insert(place, parse_statement(draft, text))
    return draft.swap(draft.merge, draft.merge.with_changes(body=body.with_changes(body=statements)))


def after_docstring(draft: Draft) -> int:
    """The place of the first statement of ``merge`` that is no docstring."""
    assert draft.merge is not None
    return int(draft.merge.get_docstring() is not None and isinstance(draft.merge.body, cst.IndentedBlock))


def before_return(draft: Draft) -> int:
    """The place of the last statement of ``merge``."""
    return max(len(merge_statements(draft)) - 1, after_docstring(draft))


def return_value(draft: Draft) -> cst.BaseExpression | None:
    """What the last statement of ``merge`` returns."""
    assert draft.merge is not None
    items = list(draft.merge.body.body)
    last: cst.CSTNode | None = items[-1] if items else None
    if isinstance(last, cst.SimpleStatementLine) and last.body:
        last = last.body[-1]
    return last.value if isinstance(last, cst.Return) else None


def names_in(node: cst.CSTNode) -> set[str]:
    """Identifiers below a node."""
    return set(identifiers(node))


def text_of_node(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node)
