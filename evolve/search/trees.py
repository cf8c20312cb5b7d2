"""Gradient-boosted trees that predict scores, and how well they have done so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolve.errors import UsageError

SMALLEST_SAMPLE = 20
WINDOW = 30
"""Predictions that the rank correlation looks back on."""

TRUST = 0.3
"""The rank correlation from which predictions may choose."""

INSTALL = "pip install 'evolve-merge[surrogate]'"

_ROUNDS, _LEAVES, _LEAF, _RATE = 120, 8, 4, 0.08

Features = Mapping[str, float]


def available() -> bool:
    """Whether scikit-learn is installed."""
    return find_spec("sklearn") is not None


class Surrogate:
    """Predicts scores from named features; those that a sample lacks are missing, not zero.

    Scores far below the median are raised towards it: how badly a collapsed model fails says nothing about the rest.
    Its record is prequential (Dawid 1984): every prediction was made before its score was known. Source of the trees:
    Friedman 2001, Annals of Statistics 29:1189-1232, as histogram trees of scikit-learn.
    """

    def __init__(self) -> None:
        """Raises UsageError without scikit-learn."""
        if not available():
            raise UsageError(f"a surrogate needs scikit-learn; {INSTALL}")
        self._names: list[str] = []
        self._model: Any = None
        self._record: deque[tuple[float, float]] = deque(maxlen=WINDOW)

    def fit(self, features: Sequence[Features], scores: Sequence[float]) -> bool:
        """Learns from samples and their scores; False, and nothing changes, with fewer than 20 or with equal scores."""
        targets = np.asarray(scores, dtype=np.float64)
        if len(targets) < SMALLEST_SAMPLE or np.ptp(targets) == 0:
            return False
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        self._names = sorted(set().union(*features))
        top, middle = float(targets.max()), float(np.median(targets))
        clipped = np.maximum(targets, middle - 1.5 * max(top - middle, 1e-9))
        model = HistGradientBoostingRegressor(
            max_iter=_ROUNDS, max_leaf_nodes=_LEAVES, min_samples_leaf=_LEAF, learning_rate=_RATE,
            early_stopping=False, random_state=0,
        )  # fmt: skip
        with threadpool_limits(1):  # the cores belong to the workers
            self._model = model.fit(self._table(features), clipped)
        return True

    def predict(self, features: Features) -> float | None:
        """The expected score; None before anything was learned."""
        if self._model is None:
            return None
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return float(self._model.predict(self._table([features]))[0])

    def record(self, predicted: float, score: float) -> None:
        """Notes how a prediction turned out."""
        self._record.append((predicted, score))

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's correlation of the last 30 predictions with their scores; None before there are that many, or
        where either never varies."""
        if len(self._record) < WINDOW:
            return None
        predicted, scores = np.array(self._record).T
        return spearman(predicted, scores)

    @property
    def trusted(self) -> bool:
        """Whether the record is good enough to choose by."""
        found = self.rank_correlation
        return found is not None and found >= TRUST

    def _table(self, samples: Sequence[Features]) -> NDArray[np.float64]:
        missing = float("nan")
        return np.array([[sample.get(name, missing) for name in self._names] for sample in samples])


def spearman(
    first: Sequence[float] | NDArray[np.float64], second: Sequence[float] | NDArray[np.float64]
) -> float | None:
    """The correlation of ranks, equal values sharing their mean rank; None where either never varies."""
    ranks = [_ranks(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    spreads = [float(rank.std()) for rank in ranks]
    if min(spreads) == 0:
        return None
    a, b = ((rank - rank.mean()) / spread for rank, spread in zip(ranks, spreads, strict=True))
    return float((a * b).mean())


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[places], dtype=np.float64)
