from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.search import trees
from evolve.search.trees import Surrogate, spearman


def samples(count: int, seed: int = 0) -> tuple[list[dict[str, float]], list[float]]:
    """A score that depends on two of twelve features, one of which half of the programs lack."""
    rng = np.random.default_rng(seed)
    table, scores = [], []
    for index in range(count):
        row = {f"f{place}": float(value) for place, value in enumerate(rng.uniform(size=12))}
        score = 1.0 - (row["f1"] - 0.6) ** 2
        if index % 2:
            del row["f2"]
        else:
            score += 0.3 * row["f2"]
        table.append(row)
        scores.append(float(score))
    return table, scores


def test_it_learns_what_the_score_depends_on() -> None:
    table, scores = samples(160)
    surrogate = Surrogate()
    assert surrogate.fit(table[:120], scores[:120])
    predicted = [surrogate.predict(row) for row in table[120:]]
    assert spearman(predicted, scores[120:]) > 0.6  # type: ignore[arg-type, operator]
    assert surrogate.predict({"new feature": 1.0}) is not None


def test_equal_samples_give_equal_predictions() -> None:
    table, scores = samples(60)
    first, second = Surrogate(), Surrogate()
    for surrogate in (first, second):
        surrogate.fit(table, scores)
    assert [first.predict(row) for row in table] == [second.predict(row) for row in table]


def test_it_is_silent_before_it_knows_enough() -> None:
    table, scores = samples(60)
    surrogate = Surrogate()
    assert surrogate.predict(table[0]) is None
    assert not surrogate.fit(table[:19], scores[:19])
    assert not surrogate.fit(table, [0.5] * 60)
    assert surrogate.predict(table[0]) is None


def test_trust_needs_thirty_predictions_that_ranked_well() -> None:
    good, bad = Surrogate(), Surrogate()
    for index in range(29):
        good.record(index / 100, index)
    assert good.rank_correlation is None
    assert not good.trusted
    good.record(0.29, 99)
    assert good.rank_correlation == pytest.approx(1.0)
    assert good.trusted
    for index in range(40):
        bad.record(-index, index)
    assert bad.rank_correlation == pytest.approx(-1.0)
    assert not bad.trusted
    for index in range(30):
        bad.record(index, index)
    assert bad.trusted  # the past is forgotten


def test_a_collapsed_quarter_does_not_drown_the_rest() -> None:
    table, scores = samples(200, seed=3)
    mixed = [score - 50.0 * (index % 4 == 0) for index, score in enumerate(scores)]
    surrogate = Surrogate()
    surrogate.fit(table[:150], mixed[:150])
    alive = [index for index in range(150, 200) if index % 4]
    found = spearman([surrogate.predict(table[i]) for i in alive], [scores[i] for i in alive])  # type: ignore[misc]
    assert found is not None
    assert found > 0.3


def test_spearman_shares_ranks_and_knows_no_correlation_of_constants() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 5]) == pytest.approx(-0.2)
    assert spearman([1, 1, 2, 2], [1, 1, 5, 5]) == pytest.approx(1.0)
    assert spearman([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)  # deviations of ranks by hand
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(trees, "find_spec", lambda name: None if name == "sklearn" else find(name))
    with pytest.raises(UsageError, match=r"pip install 'evolve-merge\[surrogate\]'"):
        Surrogate()
