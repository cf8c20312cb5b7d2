"""Which variant of the instructions a language model gets: drawn by the gains of what was asked with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolve.search.bandit import Bandit

if TYPE_CHECKING:
    import numpy

MIN_USES = 5
"""Results that a variant must have before it can be retired."""


@dataclass(frozen=True)
class Variant:
    """A paragraph of instructions; ``id`` is its number in the database."""

    id: int
    text: str


class Variants:
    """The live variants, at most ``limit``.

    They are drawn by Thompson sampling of their gains (see ``Bandit``), an unused one first; money plays no part.
    Results reach them through ``bandit``, whose arms are named by ``arm``.
    """

    def __init__(self, limit: int) -> None:
        self.bandit = Bandit((), "thompson", cost_weight=0.0)
        self._limit = limit
        self._live: dict[str, Variant] = {}

    @staticmethod
    def arm(number: int) -> str:
        """The name under which a variant's results are recorded."""
        return f"prompt {number}"

    def add(self, variant: Variant) -> None:
        """Lets a variant take part."""
        self._live[self.arm(variant.id)] = variant
        self.bandit.add(self.arm(variant.id))

    def retire(self, number: int) -> None:
        """Leaves a variant out from now on."""
        del self._live[self.arm(number)]
        self.bandit.drop(self.arm(number))

    def draw(self, rng: numpy.random.Generator) -> Variant:
        """The variant of the next proposal. Raises UsageError when there is none."""
        return self._live[self.bandit.choose(rng)]

    def best(self, count: int) -> list[tuple[Variant, float]]:
        """Live variants with their mean gain, the largest first, the older one of equals; unused ones come last."""
        arms = self.bandit.arms
        ranked = sorted(self._live, key=lambda name: (not arms[name].calls, -arms[name].mean, self._live[name].id))
        return [(self._live[name], arms[name].mean) for name in ranked[:count]]

    @property
    def full(self) -> bool:
        return len(self._live) >= self._limit

    @property
    def worst(self) -> int | None:
        """The variant with the smallest mean gain among those with ``MIN_USES`` results, the older one of equals."""
        arms = self.bandit.arms
        tried = [name for name in self._live if arms[name].calls >= MIN_USES]
        if not tried:
            return None
        return self._live[min(tried, key=lambda name: (arms[name].mean, self._live[name].id))].id
