"""What arms, structure and tuning brought to a run, for its commands; read as ``evolve.store.queries`` does."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence
from typing import Any

from evolve.store import queries
from evolve.store.connection import as_dict

Row = dict[str, Any]

TUNING = "tune"
"""The patch of programs that differ from their parent in numbers only."""

# The reward of a proposal: max(score - max(parent's score, best seed), 0).
_REWARDED = """
    WITH seeds (best) AS (SELECT max(score) FROM baselines),
    spent AS (
        SELECT proposal_id, total(cost_usd) AS known_usd, sum(cost_usd IS NULL) AS unknown
        FROM llm_calls WHERE proposal_id IS NOT NULL GROUP BY proposal_id
    ),
    rewarded AS (
        SELECT
            p.id, p.proposer, p.patch, p.prompt_id, p.state,
            p.archive_status IN ('improve_existing', 'new') AS accepted,
            p.state = 'scored' OR (p.state = 'failed' AND p.evaluating_at IS NOT NULL) AS evaluated,
            e.stopped IS NOT NULL AS raced, coalesce(e.seconds, 0.0) AS seconds,
            iif(e.stopped IS NULL, coalesce(
                max(e.score - max(coalesce(a.score, s.best), coalesce(s.best, a.score)), 0.0), 0.0), 0.0) AS gain,
            coalesce(c.known_usd, 0.0) AS known_usd, coalesce(c.unknown, 0) AS unknown
        FROM proposals p CROSS JOIN seeds s
        LEFT JOIN evaluations e ON e.proposal_id = p.id AND e.split = 'search'
        LEFT JOIN evaluations a ON a.proposal_id = p.parent_id AND a.split = 'search'
        LEFT JOIN spent c ON c.proposal_id = p.id
        WHERE p.seed_name IS NULL AND p.patch <> 'ablation' AND p.state <> 'abandoned'
    )
"""


def _rows(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> list[Row]:
    cursor = connection.cursor()
    cursor.row_factory = as_dict
    found: list[Row] = cursor.execute(query, tuple(values)).fetchall()
    return found


def arms(connection: sqlite3.Connection) -> list[Row]:
    """A row per arm, the largest gain first.

    ``gain`` is the sum of max(score - max(parent's score, best seed), 0); ``accepted`` counts entries into the archive;
    ``seconds`` are those of evaluations. ``cost_usd`` is None, and so is ``gain_per_usd``, where a call has no known
    price.
    """
    found = _rows(
        connection,
        _REWARDED + "SELECT proposer AS arm, count(*) AS calls, sum(evaluated) AS evaluations, "
        "coalesce(sum(accepted), 0) AS accepted, sum(state = 'duplicate') AS duplicates, "
        "sum(state IN ('rejected', 'failed')) AS failures, sum(raced) AS raced, sum(gain) AS gain, "
        "total(seconds) AS seconds, iif(sum(unknown), NULL, total(known_usd)) AS cost_usd "
        "FROM rewarded GROUP BY proposer ORDER BY gain DESC, proposer",
    )
    for row in found:
        row["accepted_share"] = row["accepted"] / row["calls"]
        row["gain_per_usd"] = row["gain"] / row["cost_usd"] if row["cost_usd"] else None
        row["gain_per_second"] = row["gain"] / row["seconds"] if row["seconds"] else None
    return found


def sides(connection: sqlite3.Connection) -> list[Row]:
    """Structure against tuning: evaluations, how often and how far each raised the run's best score."""
    found = _rows(
        connection,
        _REWARDED + "SELECT iif(r.patch = ?, 'tuning', 'structure') AS side, sum(r.evaluated) AS evaluations, "
        "count(i.proposal_id) AS improvements, total(i.gain) AS raised_best "
        "FROM rewarded r LEFT JOIN improvements i ON i.proposal_id = r.id GROUP BY side ORDER BY side",
        [TUNING],
    )
    for row in found:
        row["per_evaluation"] = row["raised_best"] / row["evaluations"] if row["evaluations"] else None
    return found


def patches(connection: sqlite3.Connection) -> list[Row]:
    """A row per kind of edit, counted as ``arms`` counts, the largest gain first."""
    return _rows(
        connection,
        _REWARDED + "SELECT patch, count(*) AS calls, sum(evaluated) AS evaluations, "
        "coalesce(sum(accepted), 0) AS accepted, sum(state = 'duplicate') AS duplicates, "
        "sum(state IN ('rejected', 'failed')) AS failures, sum(gain) AS gain "
        "FROM rewarded GROUP BY patch ORDER BY gain DESC, patch",
    )


def prompts(connection: sqlite3.Connection) -> list[Row]:
    """Variants of the instructions with the programs that each brought about; empty where they do not vary.

    ``accepted_share`` and ``mean_gain`` are None for a variant without a result.
    """
    return _rows(
        connection,
        _REWARDED + "SELECT v.id AS prompt, v.parent_id, v.retired, count(r.id) AS calls, "
        "coalesce(sum(r.accepted), 0) AS accepted, 1.0 * coalesce(sum(r.accepted), 0) / count(r.id) AS accepted_share, "
        "total(r.gain) AS gain, avg(r.gain) AS mean_gain, v.text "
        "FROM prompts v LEFT JOIN rewarded r ON r.prompt_id = v.id GROUP BY v.id ORDER BY gain DESC, v.id",
    )


def scratchpads(connection: sqlite3.Connection) -> list[Row]:
    """What language models distilled from the run, newest first."""
    return _rows(connection, "SELECT id, evaluations, text, created FROM scratchpads ORDER BY id DESC")


def credited(connection: sqlite3.Connection, program_id: int) -> dict[str, float]:
    """Where a program's score comes from: that of the first program of its line (``seed`` or ``start``), and the sums
    of the gains that ``structure`` and ``tuning`` brought along the first parents. They add up to its score.

    Steps without a whole score pass theirs on to the next one. Empty for a program without a whole score, or without
    a parent.
    """
    rows = _rows(
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
