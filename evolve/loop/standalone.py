"""Recipes outside of runs: a file whose constant DONORS says where its models are."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolve import __version__
from evolve.errors import CandidateError, UsageError
from evolve.site import Site
from evolve.sources import described, place_of, with_place

if TYPE_CHECKING:
    from evolve.donors.donors import Donors
    from evolve.plan.plan import Plan

CONSTANT = "DONORS"


def named_donors(source: str, path: Path, given: Mapping[str, str]) -> dict[str, Any]:
    """Donor names to folders, hub ids or tables (see evolve.sources): the constant DONORS, and ``given`` over it.

    The program is not run. Raises UsageError where neither names a donor, or the constant is not written out.
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UsageError(f"{path}{line}: no Python program ({getattr(error, 'msg', error)})") from None
    found: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        if any(isinstance(target, ast.Name) and target.id == CONSTANT for target in targets):
            found = _dictionary(statement.value, f"{path} line {statement.lineno}")
    if not found and not given:
        raise UsageError(
            f'{path} names no donors; add {CONSTANT} = {{"base": "folder or hub id", ...}} or give --donor NAME=PATH'
        )
    return {**found, **{name: with_place(found.get(name, ""), place) for name, place in given.items()}}


def _dictionary(value: ast.expr | None, where: str) -> dict[str, Any]:
    try:
        found = ast.literal_eval(value) if value is not None else None
    except (ValueError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(map(_is_source, found)) or not all(map(_is_source, found.values())):
        raise UsageError(
            f'{where}: {CONSTANT} must be written out, {{"name": "folder or hub id", ...}}, nothing computed'
        )
    return found


def _is_source(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))


def traced(source: str, path: Path, sites: Sequence[Site], layers: Mapping[str, int]) -> Plan:
    """The validated plan of a recipe, traced in the sandbox as runs do it. Raises UsageError with the line at fault."""
    from evolve.plan.plan import Plan
    from evolve.plan.validate import validate
    from evolve.sandbox import Sandbox

    request = {
        "source": source,
        "sites": [site.to_dict() for site in sites],
        "donors": {name: {"layers": count} for name, count in layers.items()},
    }
    try:
        with Sandbox(entry="evolve.recipe.trace:serve", preload=("torch", "evolve.methods")) as sandbox:
            reply, _ = sandbox.run(request)
        plan = Plan.from_dict(reply["plan"])
        validate(plan, sites, layers)
    except CandidateError as error:
        line = f" line {error.line}" if error.line else ""
        raise UsageError(f"{path}{line}: {error}") from error
    return plan


def card(path: Path, source: str, spec: Mapping[str, Any], donors: Donors, plan: Plan) -> str:
    """README text of a merge that belongs to no run: its recipe, its donors, their digests."""
    return "\n".join(
        [*_head(path, spec, plan), *_donors(spec, donors), f"\n## Recipe\n\n```python\n{source.rstrip()}\n```\n"]
    )


def _head(path: Path, spec: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    yield "---\nlibrary_name: transformers\ntags:\n- merge\n- evolve\n---\n"
    yield f"# {path.stem}\n"
    yield f"A merge of {len(spec)} models, built by `evolve merge` {__version__}."
    yield f"The recipe below, applied to the donors below, gives exactly these weights (plan `{plan.digest}`)."


def _donors(spec: Mapping[str, Any], donors: Donors) -> Iterator[str]:
    yield "\n## Donors\n\n| name | source | sha256 |\n|---|---|---|"
    for name, entry in spec.items():
        place = place_of(entry)
        # Where a folder lies on the machine that merged is nobody's business; its name and digest are.
        if place is not None and (folder := Path(place).expanduser()).is_dir():
            entry = with_place(entry, folder.name)
        yield f"| {name} | {described(entry)} | `{donors[name].digest}` |"
