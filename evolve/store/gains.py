"""What arms, structure and tuning brought to a run, for its commands; read as ``evolve.store.queries`` does."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from evolve.store import queries
from evolve.store.connection import dicts, tuples
from evolve.store.recall import ABLATION, IMPORT

Row = dict[str, Any]

TUNING = "tune"
"""The patch of programs that differ from their parent in numbers only."""

# Two looks, each grouped by all that any table is grouped by. The reward of a proposal is
# max(score - max(parent's score, best seed), 0); few programs are parents, so these limits are put into a table first,
# and looked up for what is better than the best seed.
_SCORED = """
    WITH limits AS MATERIALIZED (
        SELECT e.proposal_id AS id, max(e.score, coalesce(:seed, e.score)) AS score
        FROM (SELECT DISTINCT parent_id AS id FROM proposals WHERE parent_id IS NOT NULL) q
        CROSS JOIN evaluations e ON e.proposal_id = q.id AND e.split = 'search'
    )
    SELECT
        p.proposer, p.patch, p.prompt_id, count(*) AS calls, count(*) AS evaluations,
        sum(coalesce(p.archive_status IN ('improve_existing', 'new'), 0)) AS accepted,
        sum(e.stopped IS NOT NULL) AS raced, total(e.seconds) AS seconds,
        total(iif(e.stopped IS NULL, max(e.score - coalesce(a.score, :seed), 0.0), 0.0)) AS gain,
        total(p.cost_usd) AS known_usd, count(*) - count(p.cost_usd) AS unknown
    FROM evaluations e CROSS JOIN proposals p ON p.id = e.proposal_id
    LEFT JOIN limits a ON a.id = iif(e.score > coalesce(:seed, e.score - 1), p.parent_id, NULL)
    WHERE +e.split = 'search' AND {counted} GROUP BY 1, 2, 3
"""
_UNSCORED = """
    SELECT
        p.proposer, p.patch, p.prompt_id, count(*) AS calls,
        sum(p.state = 'failed' AND p.evaluating_at IS NOT NULL) AS evaluations,
        sum(p.state = 'duplicate') AS duplicates, sum(p.state IN ('rejected', 'failed')) AS failures,
        total(p.cost_usd) AS known_usd, sum(p.cost_usd IS NULL AND p.state <> 'proposed') AS unknown
    FROM proposals p
    WHERE p.state IN ('proposed', 'traced', 'queued', 'evaluating', 'duplicate', 'rejected', 'failed') AND {counted}
    GROUP BY 1, 2, 3
"""
_COUNTED = f"p.seed_name IS NULL AND p.patch NOT IN ('{ABLATION}', '{IMPORT}')"

# The evaluations that raised the best score, newest first: from the best one down the index on the score, each time the
# best that is older and lower. Every entry of the index is looked at once at most.
_RECORDS = """
    WITH RECURSIVE record (id, program, score) AS (
        SELECT * FROM (
            SELECT e.id, e.proposal_id, e.score FROM evaluations e
            WHERE e.split = 'search' AND {whole} ORDER BY e.score DESC, e.id LIMIT 1
        )
        UNION ALL
        SELECT n.id, n.proposal_id, n.score FROM record r CROSS JOIN evaluations n ON n.id = (
            SELECT e.id FROM evaluations e INDEXED BY evaluations_by_score
            WHERE e.split = 'search' AND e.score < r.score AND +e.id < r.id AND {whole}
            ORDER BY e.score DESC, e.id LIMIT 1
        )
    )
    SELECT p.patch, p.seed_name, r.score FROM record r JOIN proposals p ON p.id = r.program ORDER BY r.id
"""
_WHOLE = """e.stopped IS NULL AND EXISTS (
                SELECT 1 FROM proposals q WHERE q.id = e.proposal_id AND q.patch <> 'ablation')"""
_SUMS = (
    "calls", "evaluations", "accepted", "duplicates", "failures", "raced", "gain", "seconds", "known_usd", "unknown",
)  # fmt: skip


def tallies(connection: sqlite3.Connection) -> list[Row]:
    """Counts and sums by ``proposer``, ``patch`` and ``prompt_id``, several rows for each, from which ``arms``,
    ``patches``, ``sides`` and ``prompts`` are made.

    ``gain`` is the sum of max(score - max(parent's score, best seed), 0); ``accepted`` counts entries into the archive;
    ``seconds`` are those of evaluations; ``unknown`` counts proposals with a call of unknown price. Seeds, ablations
    and imports are not counted.
    """
    [seed] = tuples(connection, "SELECT max(score) FROM baselines").fetchone()
    nothing = dict.fromkeys(_SUMS, 0)
    looks = ((_SCORED, {"seed": seed}), (_UNSCORED, ()))
    return [
        {**nothing, **row}
        for query, values in looks
        for row in dicts(connection, query.format(counted=_COUNTED), values)
    ]


def _summed(tallied: Sequence[Row], key: Callable[[Row], Any]) -> dict[Any, Row]:
    sums: dict[Any, Row] = {}
    for row in tallied:
        total = sums.setdefault(key(row), dict.fromkeys(_SUMS, 0))
        for name in _SUMS:
            total[name] += row[name]
    return sums


def arms(tallied: Sequence[Row]) -> list[Row]:
    """A row per arm, the largest gain first.

    ``cost_usd`` is None, and so is ``gain_per_usd``, where a call has no known price.
    """
    found = [{"arm": name, **sums} for name, sums in _summed(tallied, lambda row: row["proposer"]).items()]
    for row in found:
        known, unknown = row.pop("known_usd"), row.pop("unknown")
        row["cost_usd"] = None if unknown else known
        row["accepted_share"] = row["accepted"] / row["calls"]
        row["gain_per_usd"] = row["gain"] / row["cost_usd"] if row["cost_usd"] else None
        row["gain_per_second"] = row["gain"] / row["seconds"] if row["seconds"] else None
    return sorted(found, key=lambda row: (-row["gain"], row["arm"]))


def sides(connection: sqlite3.Connection, tallied: Sequence[Row]) -> list[Row]:
    """Structure against tuning: evaluations, how often and how far each raised the run's best score."""
    sums = _summed(tallied, lambda row: _side(row["patch"]))
    found = {
        side: {"side": side, "evaluations": sums[side]["evaluations"], "improvements": 0, "raised_best": 0.0}
        for side in sorted(sums)
    }
    best = None
    for patch, seed, score in tuples(connection, _RECORDS.format(whole=_WHOLE)):
        if seed is None and patch != IMPORT:
            row = found[_side(patch)]
            row["improvements"] += 1
            row["raised_best"] += 0.0 if best is None else score - best
        best = score
    for row in found.values():
        row["per_evaluation"] = row["raised_best"] / row["evaluations"] if row["evaluations"] else None
    return list(found.values())


def _side(patch: str) -> str:
    return "tuning" if patch == TUNING else "structure"


def patches(tallied: Sequence[Row]) -> list[Row]:
    """A row per kind of edit, counted as ``arms`` counts, the largest gain first."""
    kept = ("calls", "evaluations", "accepted", "duplicates", "failures", "gain")
    sums = _summed(tallied, lambda row: row["patch"])
    found = [{"patch": patch, **{name: row[name] for name in kept}} for patch, row in sums.items()]
    return sorted(found, key=lambda row: (-row["gain"], row["patch"]))


def prompts(connection: sqlite3.Connection, tallied: Sequence[Row]) -> list[Row]:
    """Variants of the instructions with the programs that each brought about; empty where they do not vary.

    ``accepted_share`` and ``mean_gain`` are None for a variant without a result.
    """
    sums = _summed(tallied, lambda row: row["prompt_id"])
    found = dicts(connection, "SELECT id AS prompt, parent_id, retired, text FROM prompts")
    for row in found:
        one = sums.get(row["prompt"], dict.fromkeys(_SUMS, 0))
        row |= {name: one[name] for name in ("calls", "accepted")} | {"gain": float(one["gain"])}
        row["accepted_share"] = one["accepted"] / one["calls"] if one["calls"] else None
        row["mean_gain"] = one["gain"] / one["calls"] if one["calls"] else None
    return sorted(found, key=lambda row: (-row["gain"], row["prompt"]))


def scratchpads(connection: sqlite3.Connection) -> list[Row]:
    """What language models distilled from the run, newest first."""
    return dicts(connection, "SELECT id, evaluations, text, created FROM scratchpads ORDER BY id DESC")


def credited(connection: sqlite3.Connection, program_id: int) -> dict[str, float]:
    """Where a program's score comes from: that of the first program of its line (``seed`` or ``start``), and the sums
    of the gains that ``structure`` and ``tuning`` brought along the first parents. They add up to its score.

    Steps without a whole score pass theirs on to the next one. Empty for a program without a whole score, or without
    a parent.
    """
    rows = dicts(
        connection,
        "WITH RECURSIVE line (id, parent_id, steps) AS ("
        "  SELECT id, parent_id, 0 FROM proposals WHERE id = ?"
        "  UNION ALL SELECT p.id, p.parent_id, l.steps + 1 FROM line l JOIN proposals p ON p.id = l.parent_id"
        ") SELECT p.patch, p.seed_name, e.score FROM line l JOIN proposals p ON p.id = l.id "
        "LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search' AND e.stopped IS NULL "
        "ORDER BY l.steps DESC",
        [queries.resolve(connection, program_id)],
    )
    if len(rows) < 2 or rows[-1]["score"] is None:
        return {}
    scored = [row for row in rows if row["score"] is not None]
    found = {"seed" if scored[0]["seed_name"] else "start": scored[0]["score"]}
    for before, row in itertools.pairwise(scored):
        side = "tuning" if row["patch"] == TUNING else "structure"
        found[side] = found.get(side, 0.0) + row["score"] - before["score"]
    return found
