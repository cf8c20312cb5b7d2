from __future__ import annotations

import pytest

from evolve.statistics import score_interval
from evolve.store.database import Database
from evolve.store.records import RunRecord
from evolve.store.tasks import stored_interval


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_stored_score_has_the_interval_of_its_outcomes(tmp_path, direction):
    run = RunRecord("r", "p", "tiny", {}, {}, 0, "0.1", direction=direction)
    errors = (0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0)
    mean = sum(errors) / len(errors)
    expected = score_interval(mean, errors)
    with Database.create(tmp_path / "r", run) as database:
        sign = 1 if direction == "maximize" else -1
        found = stored_interval(database.connection, "search", sign * mean, errors)
        assert sorted(sign * bound for bound in found) == pytest.approx(sorted(expected))
        assert found.low < sign * mean < found.high
        assert stored_interval(database.connection, "search", 0.1, errors) is None, "no mean of the outcomes"
