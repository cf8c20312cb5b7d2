"""When a candidate may be given up before all items are answered, with a stated chance of being wrong.

A candidate deserves to win if its outcomes over all items of the split beat its rival's. The items are a finite
population, the run's order draws them without replacement, and the question is settled when every population that fits
what was seen, and in which the candidate wins, would have shown so bad a beginning with probability ``alpha`` at most,
over all looks together.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.errors import UsageError

STRATA = ("task", "kind")
"""Fields of an item by which the order is stratified, where items have one."""

_BETS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95)


@dataclass(frozen=True, slots=True)
class Race:
    """What a worker is told: ``order`` of the items, ``looks`` (numbers of items, the last one all of them), ``alpha``
    and the outcomes of the ``rival`` in the order of the split; None where a program is evaluated whole."""

    order: Sequence[int]
    looks: Sequence[int]
    alpha: float
    rival: Sequence[float] | None = None

    @property
    def theirs(self) -> list[float]:
        """The rival's outcomes in the order of the race; none without a rival, or with one of other items."""
        if self.rival is None or len(self.rival) != len(self.order):
            return []
        return [self.rival[item] for item in self.order]

    def loses(self, look: int, ours: Sequence[float]) -> bool:
        """Whether a program is given up at a look, with outcomes ``ours`` in the order of the race."""
        theirs = self.theirs
        if not theirs:
            return False
        differences = [a - b for a, b in zip(ours, theirs, strict=False)]
        if all(value in (0.0, 1.0) for value in (*theirs, *ours)):
            return sign_tail(differences, len(theirs)) <= spending(self.looks, self.alpha)[look]
        return betting_p(differences, len(theirs)) <= self.alpha

    def estimate(self, ours: Sequence[float]) -> float:
        """The score over all items of a program that lost: its rival's, plus the difference so far, not below 0.

        What the first items have in common, easy or hard, cancels out.
        """
        theirs, seen = self.theirs, len(ours)
        return max(0.0, math.fsum(theirs) / len(theirs) + (math.fsum(ours) - math.fsum(theirs[:seen])) / seen)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a worker; whole numbers are written as such, which halves the message."""
        short = None if self.rival is None else [_short(value) for value in self.rival]
        return {"order": list(self.order), "looks": list(self.looks), "alpha": self.alpha, "rival": short}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Race:
        return cls(**data)


def race_order(items: Sequence[Mapping[str, Any]], seed: int) -> list[int]:
    """Indices of the items in random order, every stratum spread evenly over it."""
    rng = random.Random(seed)
    field = next((name for name in STRATA if items and all(name in item for item in items)), None)
    strata: dict[Hashable, list[int]] = {}
    for index, item in enumerate(items):
        strata.setdefault("" if field is None else str(item[field]), []).append(index)
    places = []
    for _, members in sorted(strata.items(), key=lambda pair: str(pair[0])):
        rng.shuffle(members)
        # One item of the stratum in each of its equal parts of the whole order, anywhere in that part.
        places += [((rank + rng.random()) / len(members), index) for rank, index in enumerate(members)]
    return [index for _, index in sorted(places)]


def looks_at(items: int, batches: Sequence[float]) -> list[int]:
    """Numbers of items after which a candidate is judged, ending with all of them.

    Raises UsageError unless ``batches`` are rising shares between 0 and 1.
    """
    rising = all(a < b for a, b in itertools.pairwise(batches))
    if not rising or not all(0 < share <= 1 for share in batches):
        raise UsageError(f"racing_batches must be rising shares of the items between 0 and 1, not {list(batches)}")
    return sorted({max(1, math.ceil(items * share)) for share in batches} | {items})


def free_looks(items: int, rows: int) -> list[int]:
    """Numbers of items after which a look adds no batch to an evaluation that answers at most ``rows`` at once.

    Batches at the end are full; the first one has what is left, but an eighth of all items where that is less, since
    fewer tell too little.
    """
    first, *later = [*range(items % rows or rows, items, rows), items]
    return [max(first, math.ceil(items / 8)), *later] if later else [items]


def spending(looks: Sequence[int], alpha: float) -> list[float]:
    """The part of ``alpha`` that each look may use; the last look has all items and needs none.

    It grows linearly with the items (Lan and DeMets 1983, Biometrika 70:659-663).
    """
    early = looks[:-1]
    if not early:
        return [0.0]
    return [alpha * (now - before) / early[-1] for before, now in itertools.pairwise([0, *early])] + [0.0]


def sign_tail(differences: Sequence[float], items: int) -> float:
    """The largest probability of so few won items, over all populations of ``items`` in which more are won than lost.

    ``differences`` (each −1, 0 or 1) are those seen. Given how many items differ at all (D, unknown) and that m of them
    were seen, the number won among these is hypergeometric; the least favourable population wins by one item. The exact
    conditional sign test of McNemar 1947 for a finite population. 0 when no population with a win is left.
    """
    import numpy as np

    won = sum(difference > 0 for difference in differences)
    seen = sum(difference != 0 for difference in differences)
    lost, rest = seen - won, items - len(differences)
    if won + rest <= lost:
        return 0.0
    if seen == 0:
        return 1.0
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, items + 2)))])  # of factorials
    differing = np.arange(seen, seen + rest + 1)[:, None]  # (populations, 1)
    wins = differing // 2 + 1
    k = np.arange(won + 1)[None, :]  # (1, outcomes so bad or worse)
    possible = (k <= wins) & (seen - k <= differing - wins) & (wins <= differing)

    def choose(n: Any, r: Any) -> Any:
        n, r = np.maximum(n, 0), np.maximum(r, 0)
        return logs[n] - logs[np.minimum(r, n)] - logs[np.maximum(n - r, 0)]

    chances = choose(wins, k) + choose(differing - wins, seen - k) - choose(differing, np.full_like(differing, seen))
    return float(min(1.0, np.where(possible, np.exp(np.minimum(chances, 0.0)), 0.0).sum(axis=1).max()))


def betting_p(differences: Sequence[float], items: int) -> float:
    """A p-value, valid after any number of items, of the hypothesis that the sum over all ``items`` is above 0.

    One over the largest capital of a gambler who bets against it on each item in turn, for differences in −1..1 seen
    without replacement; his stakes are a mixture of fixed shares. Source: Waudby-Smith and Ramdas 2020, "Confidence
    sequences for sampling without replacement"; Ville 1939 for the largest capital.
    """
    import numpy as np

    shares = np.asarray(_BETS)
    logs = np.zeros(len(shares))
    best, total = 0.0, 0.0
    for seen, difference in enumerate(differences):
        # Outcomes in 0..1; the mean that the items left must have if the hypothesis just holds.
        mean = (items / 2 - total) / (items - seen)
        if mean >= 1:
            return 0.0
        outcome = (difference + 1) / 2
        if mean > 0:
            logs += np.log1p(-shares / (1 - mean) * (outcome - mean))
        total += outcome
        top = logs.max()
        best = max(best, top + math.log(np.exp(logs - top).mean()))
    if total + (items - len(differences)) <= items / 2:
        return 0.0
    return math.exp(-best)


def _short(value: float) -> float | int:
    return int(value) if value in (0.0, 1.0) else float(value)
