"""A population of merges that cross, mutate and learn from the best and the worst, as GENOME and GENOME+ do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations

import numpy

from evolve.errors import UsageError
from evolve.gaussian import Vector
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.options import options_of
from evolve.strategies.templates import require_merge, weighted_sum
from evolve.strategies.tuning import Tunable

NAME = "genome"
LOW, HIGH = -0.5, 1.5
_DRAWS = 20
"""Children drawn until one is a program that was not asked for before."""


@dataclass(frozen=True)
class Options:
    """``succession``: GENOME+ where true, else GENOME; ``per``: ``model`` for a coefficient per expert, ``layer`` for
    one per expert and group of layers; ``population``: members that selection keeps; ``mutation``: probability that
    a child is mutated; ``sigma``: standard deviation of a mutation, in coefficients; ``best``, ``worst``, ``previous``:
    the largest steps of succession."""

    succession: bool = True
    per: str = "model"
    population: int = 10
    mutation: float = 0.5
    sigma: float = 0.1
    best: float = 0.5
    worst: float = 0.2
    previous: float = 0.2


@dataclass(frozen=True)
class Member:
    """Coefficients, shape (n,), and their score."""

    values: Vector
    score: float
    id: int


class Genome:
    """Crossover, mutation, succession and selection on recipes; a member is its vector c of coefficients.

    - initial population: every expert alone, all pairs at one half, and the mean of all experts
    - parents i, j: drawn without replacement, p ∝ s − min s + spread / n (s: scores)
    - crossover: c = t c_i + (1 − t) c_j, t = w_i / (w_i + w_j) with the same weights w
    - mutation, with a probability: c += σ N(0, I)
    - succession (GENOME+), r uniform in 0..1 for each term:
      c += b r₁ (c_best − c) − w r₂ (c_worst − c) − p r₃ (c_previous best − c)
    - selection: the best ``population`` of all; a member enters when its result is there, without generations

    Source: Nature-inspired population-based evolution of large language models, arXiv 2503.01155. The operations and
    their directions are the paper's; its constants were not at hand, so weights and steps are choices of ours.
    Different from it: coefficients of donors are evolved instead of LoRA weights, so mutation moves whole experts and
    never a single weight; the ensemble of GENOME+ is left out, since a merge has to be one model.
    """

    def __init__(self, setting: Setting) -> None:
        """Raises UsageError for options out of range."""
        require_merge(setting, NAME)
        self._options = options_of(Options, setting, {"per": ("model", "layer")})
        if self._options.population < 2 or self._options.sigma <= 0:
            raise UsageError("genome needs search.options.population of 2 or more and sigma above 0")
        per_layer = self._options.per == "layer"
        self._program = Tunable(weighted_sum(setting, LOW, HIGH, 0.0, per_layer))
        self._initial = _initial(len(setting.experts), self._program.space.size // len(setting.experts))
        self._asked: set[bytes] = set()
        self.members: list[Member] = []
        self.previous: Member | None = None

    def ask(self, rng: numpy.random.Generator) -> Ask:
        """A member of the initial population, or a child."""
        for values, what in self._initial:
            if self._key(values) not in self._asked:
                return self._asked_for(values, what)
        for _ in range(_DRAWS):
            values, what = self._child(rng)
            if self._key(values) not in self._asked:
                break
        return self._asked_for(values, what)

    def _asked_for(self, values: Vector, what: str) -> Ask:
        self._asked.add(self._key(values))
        note = {"values": [float(value) for value in values]}
        return Ask(NAME, self._program.written(_point(values))[0], description=what, patch=NAME, note=note)

    def tell(self, told: Told) -> None:
        """A result of this strategy: what has a score is offered to the population; seeds are left out."""
        if told.arm != NAME or "values" not in told.note:
            return
        values = numpy.array(told.note["values"], dtype=numpy.float64)
        self._asked.add(self._key(values))
        known = not told.used and any(numpy.array_equal(values, one.values) for one in self.members)
        if told.score is None or known:
            return
        best = self.members[0] if self.members else None
        self.members.append(Member(values, told.score, told.id))
        self.members.sort(key=lambda one: (-one.score, one.id))
        del self.members[self._options.population :]
        if best is not None and self.members[0] is not best:
            self.previous = best

    def _child(self, rng: numpy.random.Generator) -> tuple[Vector, str]:
        if len(self.members) < 2:
            start = self.members[0].values if self.members else self._initial[-1][0]
            return self._mutated(start, rng), "mutated"
        weights = _weights([member.score for member in self.members])
        i, j = rng.choice(len(self.members), size=2, replace=False, p=weights)
        first, second = self.members[i], self.members[j]
        t = float(weights[i] / (weights[i] + weights[j]))
        values = t * first.values + (1 - t) * second.values
        what = f"{t:.2f} of #{first.id} with #{second.id}"
        if self._options.succession:
            values = self._succeeded(values, rng)
            what += ", succession"
        if rng.random() < self._options.mutation or self._key(values) in self._asked:
            values = self._mutated(values, rng)
            what += ", mutated"
        return numpy.clip(values, LOW, HIGH), what

    def _succeeded(self, values: Vector, rng: numpy.random.Generator) -> Vector:
        best, worst, options = self.members[0].values, self.members[-1].values, self._options
        step = options.best * rng.random() * (best - values) - options.worst * rng.random() * (worst - values)
        if self.previous is not None:
            step = step - options.previous * rng.random() * (self.previous.values - values)
        return values + step

    def _mutated(self, values: Vector, rng: numpy.random.Generator) -> Vector:
        return numpy.clip(values + rng.normal(0.0, self._options.sigma, len(values)), LOW, HIGH)

    def _key(self, values: Vector) -> bytes:
        """Equal for coefficients that are written alike; short, since one is kept for each that was ever asked for."""
        written = self._program.space.values(_point(values))
        return hashlib.blake2b(repr(written).encode(), digest_size=8).digest()


def _point(values: Vector) -> Vector:
    """The coefficients as shares of their range."""
    return (values - LOW) / (HIGH - LOW)


def _initial(experts: int, groups: int) -> list[tuple[Vector, str]]:
    """Coefficients of the first members, shape (experts * groups,), and what they are."""
    unit = numpy.eye(experts)
    found = [(unit[index], f"expert {index + 1} alone") for index in range(experts)]
    if experts > 1:
        pairs = combinations(range(experts), 2)
        found += [((unit[i] + unit[j]) / 2, f"experts {i + 1} and {j + 1}") for i, j in pairs]
    if experts > 2:
        found.append((unit.mean(axis=0), "the mean of all experts"))
    return [(numpy.repeat(values, groups), what) for values, what in found]


def _weights(scores: list[float]) -> Vector:
    """Probabilities that grow with the score, also for negative scores; equal ones for equal scores."""
    array = numpy.array(scores)
    spread = float(array.max() - array.min())
    if spread == 0:
        return numpy.full(len(scores), 1 / len(scores))
    raised = array - array.min() + spread / len(scores)
    return numpy.asarray(raised / raised.sum())
