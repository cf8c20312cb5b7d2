"""Renders the prompts of the language models from the shipped templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2

from evolve.plan.statistics import LINEAR_ROLES
from evolve.propose import catalogue
from evolve.propose.base import EDITS, Parent, Patch, ProposalRequest
from evolve.propose.blocks import lines_of
from evolve.resources import folder

MAX_DATA_CHARACTERS = 20_000
_HALF = MAX_DATA_CHARACTERS // 2


def system_prompt(request: ProposalRequest) -> str:
    """What every call of a run is told: role, rules, methods and the task."""
    return _render("system.jinja", request)


def user_prompt(request: ProposalRequest, patch: Patch) -> str:
    """The parent, what is known about it, and the kind of edit that is asked for."""
    return _render(f"{patch}.jinja", request)


def retry_prompt(reason: str, patch: Patch) -> str:
    """What the model is told about a reply that could not be used."""
    return _environment().get_template("retry.jinja").render(reason=reason, edits=patch in EDITS).strip() + "\n"


def novelty_prompt(known: str, program: str) -> str:
    """The question to a judge whether a program is meaningfully different from a known one."""
    return _environment().get_template("novelty.jinja").render(known=known, program=program).strip() + "\n"


def shipped_advice() -> str:
    """The paragraph on how to think of an edit that stands in prompts unless the request has another."""
    return _environment().get_template("advice.jinja").render().strip()


def scratchpad_prompt(**facts: Any) -> str:
    """The question what the latest edits teach; see prompts/scratchpad.jinja for the facts."""
    return _tidy(_environment().get_template("scratchpad.jinja").render(facts))


def variant_prompt(**facts: Any) -> str:
    """The request for another paragraph of advice; see prompts/variant.jinja for the facts."""
    return _tidy(_environment().get_template("variant.jinja").render(facts))


def _render(template: str, request: ProposalRequest) -> str:
    merge = request.kind == "merge"
    text = (
        _environment()
        .get_template(template)
        .render(
            request=request,
            parent=request.parent,
            mate=request.mate,
            inspirations=worst_to_best(request.inspirations),
            methods=catalogue.methods() if merge else (),
            operations=catalogue.operations() if merge else (),
            linear_roles=LINEAR_ROLES,
        )
    )
    return _tidy(text)


def _tidy(text: str) -> str:
    """At most one empty line in a row."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def worst_to_best(parents: tuple[Parent, ...]) -> list[Parent]:
    """Programs sorted by score, failed ones first."""
    return sorted(parents, key=lambda parent: (parent.score is not None, parent.score or 0.0, parent.id))


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("prompts")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters.update(fence=fence, number=number, around=around, numbers=numbers)
    return environment


def fence(text: str, language: str = "") -> str:
    """The text as fenced data: the fence is longer than any run of backticks in it, very long text loses its middle."""
    if len(text) > MAX_DATA_CHARACTERS:
        text = f"{text[:_HALF]}\n[... {len(text) - MAX_DATA_CHARACTERS} characters left out ...]\n{text[-_HALF:]}"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def number(value: float) -> str:
    """A number at full precision."""
    return repr(float(value))


def numbers(values: Mapping[str, Any]) -> str:
    """``a = 0.5, b = 1.0``."""
    return ", ".join(f"{name} = {number(value)}" for name, value in sorted(values.items()))


def around(source: str, line: int, context: int = 3) -> str:
    """The numbered lines around a line, which is marked."""
    lines = lines_of(source)
    first, last = max(1, line - context), min(len(lines), line + context)
    marked = [(">" if n == line else " ", n, lines[n - 1].rstrip("\r\n")) for n in range(first, last + 1)]
    return "\n".join(f"{mark} {n:4d} | {text}" for mark, n, text in marked)
