"""Provenance beside an evaluation, and runs from before it was stored."""

from __future__ import annotations

import pytest

from evolve.errors import RunError
from evolve.evaluation import Evaluation
from evolve.packed import PackedProvenance
from evolve.store import migrations, queries
from evolve.store.database import Database

_MODEL = {"norm": 1.5, "residual": 0.25, "donors": {"ja": {"share": 1.0, "cosine": 0.5, "coefficient": 0.75}}}
_FOUND = {"base": "base", "model": _MODEL, "places": [{"layer": 0, "role": "q_proj", **_MODEL}]}


def test_it_reads_back_as_it_was_written_also_through_a_duplicate(database, ask):
    first, second = ask(database), ask(database)
    database.set_state(first, "evaluating")
    database.add_evaluation(first, Evaluation(0.5), provenance=PackedProvenance.of(_FOUND))
    database.add_evaluation(first, Evaluation(0.5), split="test")
    database.set_state(second, "duplicate", duplicate_of=first)
    assert queries.provenance(database.connection, first) == _FOUND
    assert queries.provenance(database.connection, second) == _FOUND
    assert queries.provenance(database.connection, first, "test") is None
    with queries.reading(database.folder) as connection:
        assert queries.provenance(connection, first) == _FOUND
        share = connection.execute("SELECT json_extract(model, '$.donors.ja.share') AS share FROM provenance")
        assert share.fetchall() == [{"share": 1.0}]


def test_a_program_without_one_has_none(filled):
    assert queries.provenance(filled.connection, 3) is None


def test_a_refused_evaluation_leaves_none_behind(filled):
    with pytest.raises(RunError, match="already has an evaluation"):
        filled.add_evaluation(3, Evaluation(0.4), provenance=PackedProvenance.of(_FOUND))
    assert filled.connection.execute("SELECT count(*) FROM provenance").fetchone() == (0,)


def test_runs_from_before_are_upgraded_when_they_are_opened_for_writing(folder, run_record, ask, monkeypatch):
    without = migrations.shipped()[:2]
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "shipped", lambda: without)
        with Database.create(folder, run_record) as database:
            rows = """
                INSERT INTO proposals (state, island, generation, patch, proposer, proposed_at, finished_at)
                VALUES ('scored', 0, 0, 'diff', 'offline', '2026-01-01', '2026-01-01');
                INSERT INTO evaluations
                    (proposal_id, split, score, metrics, features, items, feedback, seconds, phases, created)
                VALUES (1, 'search', 0.5, '{}', '{}', 0, '', 0.1, '{}', '2026-01-01');
            """
            database.connection.executescript(rows)
            assert migrations.version_of(database.connection) == 2
    with pytest.raises(RunError, match="`evolve db upgrade` brings it up to date"), queries.reading(folder):
        pass
    with Database.open(folder) as database:
        assert migrations.version_of(database.connection) == len(migrations.shipped())
        assert database.program(1).score == 0.5
        assert queries.provenance(database.connection, 1) is None
        number = ask(database)
        database.set_state(number, "evaluating")
        database.add_evaluation(number, Evaluation(0.7), provenance=PackedProvenance.of(_FOUND))
        assert queries.provenance(database.connection, number) == _FOUND
