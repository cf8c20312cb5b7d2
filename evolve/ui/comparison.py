"""The winner of a run against what it has to beat, item by item."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolve.statistics import unflattered
from evolve.store import queries, standings
from evolve.store.tasks import split_compare, strata

SPLITS = ("test", "validation", "search")
ZERO_SHOT = ("held_out",)
REPEATED = "repeated"


def comparison_lines(folder: Path, connection: sqlite3.Connection, summary: Mapping[str, Any]) -> list[str]:
    """The paired differences of the winner to the best donor, the uniform average, the best baseline, and to repeated
    sampling of the same problem at the same budget where such a run lies beside this one."""
    winner = summary["winner_id"]
    if winner is None or not standings.answered(connection, winner):
        return []
    rivals = [row for row in queries.baselines(connection) if row["score"] is not None and row["id"] != winner]
    donors = [row for row in rivals if _is_donor(connection, row["id"])]
    averages = [row for row in rivals if "average" in row["seed_name"]]
    wanted = (("best donor", donors), ("uniform average", averages), ("best baseline", rivals))
    lines = []
    for what, rows in wanted:
        if rows:
            best = rows[0]
            text = _difference(connection, winner, connection, best["id"])
            lines.append(f"winner minus {what} ({best['seed_name']}): {text}")
            if standings.answered(connection, winner, *ZERO_SHOT):
                text = _difference(connection, winner, connection, best["id"], ZERO_SHOT)
                lines.append(f"    zero-shot, on tasks that no choice looked at: {text}")
    if summary["config"]["config"]["search"].get("strategy") != REPEATED:
        lines.append(_repeated(folder, connection, summary))
    return lines


def chance_lines(connection: sqlite3.Connection) -> list[str]:
    """What racing saved, and what is to be expected of the best elite after what others lost on fresh items."""
    lines = []
    raced, saved, total = standings.saved_items(connection)
    if total:
        lines.append(
            f"evaluations ended early by racing: {raced}; items saved: {saved} of {total} ({saved / total:.0%})"
        )
    lost = standings.drop(connection)
    if lost is not None:
        expected, best = max((unflattered(one.mean, one.searched, lost), one) for one in standings.elites(connection))
        sign = queries.sign(connection)
        lines.append(
            f"elites on fresh items: {len(standings.verified(connection))}, {lost:.3f} lower there on average; "
            f"best elite: program {best.program}, {sign * best.mean:.3f} over {best.items} items, "
            f"so {sign * expected:.3f} is to be expected"
        )
    return lines


def _difference(
    ours: sqlite3.Connection, winner: int, theirs: sqlite3.Connection, other: int, splits: Sequence[str] = SPLITS
) -> str:
    for split in splits:
        items, first, second = standings.paired(
            standings.answered(ours, winner, split), standings.answered(theirs, other, split)
        )
        if first:
            found = split_compare(ours, split, items, first, second)
            test = "McNemar" if strata(ours, split) is None else "randomisation"
            return (
                f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}], {test} p = {found.p_value:.2g} "
                f"({found.items} {split} items)"
            )
    return "no items that both answered"


def _is_donor(connection: sqlite3.Connection, number: int) -> bool:
    """Whether a program's plan is one donor, unchanged."""
    plan = queries.program(connection, number)["plan"]
    if plan is None or plan["stack"] is not None:
        return False
    used = {site["template"] for site in plan["sites"]}
    outputs = [plan["templates"][index]["nodes"][plan["templates"][index]["output"]] for index in used]
    return all(node[0] == "donor" for node in outputs) and len({node[2].get("name") for node in outputs}) == 1


def _repeated(folder: Path, connection: sqlite3.Connection, summary: Mapping[str, Any]) -> str:
    budget = summary["config"]["config"]["budget"]["evaluations"]
    for other in _peers(folder, summary, budget):
        with queries.reading(Path(other["folder"])) as theirs:
            text = _difference(connection, summary["winner_id"], theirs, other["winner_id"])
        return f"winner minus repeated sampling, {budget} evaluations ({other['id']}): {text}"
    evaluations = f" --evaluations {budget}" if budget else ""
    return (
        f"winner minus repeated sampling: no such run here; make it with "
        f"`evolve run {summary['problem']} --profile {summary['profile']} --strategy {REPEATED}{evaluations}`"
    )


def _peers(folder: Path, summary: Mapping[str, Any], budget: int) -> Sequence[Mapping[str, Any]]:
    """Finished runs of repeated sampling on the same problem at the same budget, one of the same seed first."""
    fitting = []
    for row in queries.list_runs(folder.parent):
        if row.get("error") or row["state"] != "finished" or row["winner_id"] is None:
            continue
        config = row["config"]["config"]
        same = all(row[name] == summary[name] for name in ("problem", "profile", "digests"))
        if same and config["search"].get("strategy") == REPEATED and config["budget"]["evaluations"] == budget:
            fitting.append(row)
    return sorted(fitting, key=lambda row: (row["seed"] != summary["seed"], row["id"]))
