"""What the search of a run was made of: its arms, structure against tuning, racing, prompts, scratchpads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from evolve.store import gains, standings
from evolve.ui.table import printable, render

ARM_COLUMNS = (
    "arm", "calls", "evaluations", "accepted", "accepted_share", "duplicates", "failures", "raced", "gain", "seconds",
    "gain_per_second", "cost_usd", "gain_per_usd",
)  # fmt: skip
PATCH_COLUMNS = ("patch", "calls", "evaluations", "accepted", "duplicates", "failures", "gain")
SIDE_COLUMNS = ("side", "evaluations", "improvements", "raised_best", "per_evaluation")
PROMPT_COLUMNS = ("prompt", "parent_id", "retired", "calls", "accepted_share", "mean_gain", "gain", "text")


def statistics(connection: sqlite3.Connection) -> dict[str, Any]:
    """Everything that ``evolve stats`` shows, as plain data; ``racing`` is None where nothing was ended early."""
    raced, saved, items = standings.saved_items(connection)
    tallied = gains.tallies(connection)
    return {
        "arms": gains.arms(tallied),
        "patches": gains.patches(tallied),
        "sides": gains.sides(connection, tallied),
        "racing": {"raced": raced, "items_saved": saved, "items": items} if raced else None,
        "prompts": gains.prompts(connection, tallied),
        "scratchpads": gains.scratchpads(connection),
    }


def statistics_lines(found: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    if not found["arms"]:
        yield "nothing but seeds was proposed yet"
        return
    yield render(found["arms"], _used(found["arms"]), title="arms")
    yield "gain: the sum of what programs scored over their parents and the best seed; an empty price is unknown"
    if len(found["patches"]) > 1:
        yield ""
        yield render(found["patches"], PATCH_COLUMNS, title="kinds of edit")
    if len(found["sides"]) > 1:
        yield ""
        yield render(found["sides"], SIDE_COLUMNS, title="structure against tuning: how far each raised the best score")
    if found["racing"]:
        racing = found["racing"]
        yield ""
        yield (
            f"racing ended {racing['raced']} evaluations early and saved {racing['items_saved']} of "
            f"{racing['items']} items ({racing['items_saved'] / racing['items']:.0%})"
        )
    if found["prompts"]:
        yield ""
        yield render(found["prompts"], PROMPT_COLUMNS, title="prompt variants")
    if found["scratchpads"]:
        newest = found["scratchpads"][0]
        yield ""
        yield f"scratchpad, newest of {len(found['scratchpads'])}, after {newest['evaluations']} evaluations:"
        yield from (f"  {printable(line)}" for line in newest["text"].splitlines())


def _used(arms: list[dict[str, Any]]) -> list[str]:
    """The columns without ``raced`` and prices where no arm has any."""
    hidden = set() if any(row["raced"] for row in arms) else {"raced"}
    if not any(row["cost_usd"] is None or row["cost_usd"] for row in arms):
        hidden |= {"cost_usd", "gain_per_usd"}
    return [column for column in ARM_COLUMNS if column not in hidden]
