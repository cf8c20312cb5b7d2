"""Patterns: every method of mergekit with numbers to be found, as the graph that its recipe traces to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from evolve.errors import CandidateError, UsageError
from evolve.mergekit.gradient import Interval
from evolve.mergekit.matching import Fit, Graph
from evolve.mergekit.methods import METHODS
from evolve.mergekit.recipe import convert
from evolve.mergekit.schema import Configuration, Rule, Slice, Source, Value
from evolve.plan.plan import SitePlan
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

BASE = "base"
# What a float that was computed from a parameter says about it, relative to its size.
_PRECISION = 1e-9
_MOST_MODELS = 8
_MOST_MIXED = 4

Key = tuple[str, int | None]
"""A parameter: its name and the number of the model it belongs to (None: of the whole merge)."""


@dataclass(frozen=True)
class Candidate:
    """A method on ``models`` models besides a ``base``, with flags that are the same for all tensors.

    ``fixed`` are parameters with a special number at a site (a density of 0 or 1); the others are searched for.
    """

    method: str
    models: int
    base: bool
    flags: tuple[tuple[str, bool], ...] = ()
    fixed: tuple[tuple[Key, float], ...] = ()

    @property
    def keys(self) -> list[Key]:
        """The parameters that are numbers."""
        found: list[Key] = []
        for name, parameter in METHODS[self.method].parameters.items():
            if parameter.bounds is not None:
                own = parameter.per_model and name != "epsilon"  # which is one for all models here
                # Of the two weights of nuslerp only their ratio counts.
                owners = 1 if self.method == "nuslerp" else self.models
                found += [(name, owner) for owner in range(owners)] if own else [(name, None)]
        return found

    def starts(self) -> dict[Key, float]:
        """Numbers that are unlike each other and unlike anything a method has of its own."""
        numbers = {}
        for index, key in enumerate(self.keys):
            # Far apart, so that counts of elements differ in small tensors too.
            start, step = {"density": (0.3117, 0.37), "gamma": (0.1013, 0.11), "epsilon": (0.1013, 0.0)}.get(
                key[0], (0.4517, 0.0137)
            )
            part = index if key[1] is None else key[1] / self.models
            numbers[key] = start + step * part + 0.0003 * index
        return {**numbers, **dict(self.fixed)}

    def settings(self, numbers: Mapping[Key, Value]) -> dict[Key, Value]:
        """The parameters as mergekit has them: nuslerp has two weights."""
        found = dict(numbers)
        if self.method == "nuslerp":
            share = found[("weight", 0)]
            assert isinstance(share, (int, float))
            found[("weight", 1)], found[("weight", 0)] = share, 1.0 - share
        return found

    def configuration(self, numbers: Mapping[Key, Value]) -> Configuration:
        names = [f"m{index}" for index in range(self.models)]
        settings = self.settings(numbers)
        sources = []
        for index, name in enumerate(names):
            own = {
                key[0]: (Rule(None, value, f"{name}.{key[0]}"),) for key, value in settings.items() if key[1] == index
            }
            sources.append(Source(name, None, own, name))
        shared = {key[0]: (Rule(None, value, key[0]),) for key, value in settings.items() if key[1] is None}
        shared |= {name: (Rule(None, value, name),) for name, value in self.flags}
        return Configuration(self.method, (Slice(tuple(sources), {}, "models"),), BASE if self.base else None, shared)


def candidates(donors: int) -> Iterator[Candidate]:
    """Every way to merge so many donors, plain ones first."""
    if donors > _MOST_MODELS:
        return
    for name, method in METHODS.items():
        flags = _flags(name)
        for base in {"required": (True,), "ends": (True,), "optional": (False, True)}.get(method.base, (False,)):
            models = donors - base
            least, most = method.models
            besides = 0 if method.base != "ends" else 1
            if models + besides < least or (most is not None and models + besides > most) or models < 1:
                continue
            for chosen in itertools.product(*([(flag, value) for value in (True, False)] for flag in flags)):
                yield Candidate(name, models, base, tuple(chosen))


def _flags(method: str) -> list[str]:
    """The flags that make a difference: where weights are divided beforehand, the divided ones are found."""
    found = [name for name, parameter in METHODS[method].parameters.items() if isinstance(parameter.default, bool)]
    return [name for name in found if not (METHODS[method].divides and name == "normalize")]


def specialised(candidate: Candidate) -> Iterator[Candidate]:
    """The candidate, then those with densities of 1 or 0, which leave parts of the graph out.

    Of many models all have such a density or none.
    """
    densities = [key for key in candidate.keys if key[0] in ("density", "select_topk")]
    special = (None, 1.0, 0.0)
    mixed = itertools.product(special, repeat=len(densities))
    for chosen in mixed if len(densities) <= _MOST_MIXED else ((one,) * len(densities) for one in special):
        fixed = tuple((key, number) for key, number in zip(densities, chosen, strict=True) if number is not None)
        yield Candidate(candidate.method, candidate.models, candidate.base, candidate.flags, fixed)


@dataclass(frozen=True)
class _Pattern:
    """A candidate's graph for sites of one shape; ``slots`` say how much each parameter moves each number."""

    graph: Graph
    starts: Mapping[Key, float]
    slots: Mapping[int, Mapping[Key, float]]


@lru_cache(maxsize=4096)
def _graph(candidate: Candidate, shape: tuple[int, ...], moved: Key | None = None, by: float = 0.0) -> Graph | None:
    """The graph of a candidate, one of its parameters moved; None where the method refuses these numbers."""
    numbers = candidate.starts()
    if moved is not None:
        numbers[moved] += by
    return _made(candidate, numbers, shape)


def _made(candidate: Candidate, numbers: Mapping[Key, float], shape: tuple[int, ...]) -> Graph | None:
    """The graph that the candidate's recipe traces to, donors called base, m0, m1 and so on."""
    try:
        source = convert(candidate.configuration(numbers), "a candidate").source
        site = Site("model.layers.0.self_attn.q_proj.weight", 0, 0.0, "q_proj", "attention", shape)
        names = [BASE, *(f"m{index}" for index in range(candidate.models))]
        plan = trace(source, [site], {name: DonorInfo(1) for name in names}).plan
    except (CandidateError, UsageError):
        return None
    return Graph(plan.templates[0], plan.sites[0].values)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


@lru_cache(maxsize=1024)
def _pattern(candidate: Candidate, shape: tuple[int, ...]) -> _Pattern | None:
    graph = _graph(candidate, shape)
    if graph is None:
        return None
    slots: dict[int, dict[Key, float]] = {}
    for key in candidate.keys:
        if key not in dict(candidate.fixed):
            for slot, slope in _slopes(candidate, shape, graph, key).items():
                slots.setdefault(slot, {})[key] = slope
    return _Pattern(graph, candidate.starts(), slots)


def _slopes(candidate: Candidate, shape: tuple[int, ...], graph: Graph, key: Key) -> dict[int, float]:
    """By how much a parameter moves each number. In small tensors a move may make two counts equal, and so the graph
    another; then the next one is tried."""
    step = max(0.01, 2.0 / _count(shape))
    for by in (step, -step, step / 2, 2 * step, 3 * step):
        moved = _graph(candidate, shape, key, by)
        if moved is not None and moved.template == graph.template and moved.values != graph.values:
            pairs = enumerate(zip(graph.values, moved.values, strict=True))
            return {slot: (after - before) / by for slot, (before, after) in pairs if before != after}
    return {}


@dataclass(frozen=True)
class Found:
    """A site's computation as a candidate: the plan's donor names by the candidate's, and its numbers."""

    donors: Mapping[str, str]
    numbers: Mapping[Key, Interval]


def fit(candidate: Candidate, target: Graph, site: SitePlan, donors: Mapping[str, str]) -> Found | None:
    """How the candidate makes a site's graph, with ``donors`` as far as they are known; None where it does not."""
    first = _graph(candidate, site.shape)
    if first is None or first.root != target.root:
        return None
    pattern = _pattern(candidate, site.shape)
    if pattern is None:
        return None
    found = Fit(pattern.graph, target, pattern.slots, dict(donors))
    if not found.search():
        return None
    numbers = _solved(candidate, pattern, found, _count(site.shape))
    if numbers is None:
        return None
    made = _made(candidate, {key: interval.shortest for key, interval in numbers.items()}, site.shape)
    if made is None or not Fit(made, target, (), dict(found.donors)).search():
        return None
    return Found(found.donors, numbers)


def _solved(candidate: Candidate, pattern: _Pattern, found: Fit, count: int) -> dict[Key, Interval] | None:
    """The parameters from the numbers of the slots.

    Those that stand there as they are come first, then one by one those that move a number alone or with others that
    are known.
    """
    numbers: dict[Key, Interval] = {}
    for key, value in candidate.fixed:
        # Every density below 1 / count keeps nothing.
        numbers[key] = Interval(1.0, 1.0) if value else Interval(0.0, (1 - _PRECISION) / count)
    for slot, moves in pattern.slots.items():
        for key in moves:
            if pattern.graph.values[slot] == pattern.starts[key] and slot in found.numbers:
                number = float(found.numbers[slot])
                numbers[key] = Interval(number, number)
    for slot, moves in sorted(pattern.slots.items(), key=lambda item: len(item[1])):
        unknown = [key for key in moves if key not in numbers]
        if len(unknown) == 1 and slot in found.numbers:
            numbers[unknown[0]] = _one(pattern, slot, unknown[0], numbers, found.numbers[slot], count)
    return numbers if set(numbers) == set(candidate.keys) else None


def _one(pattern: _Pattern, slot: int, key: Key, known: Mapping[Key, Interval], number: float, count: int) -> Interval:
    """The parameter that gives a slot its number, all others known."""
    before, moves = pattern.graph.values[slot], pattern.slots[slot]
    if type(before) is int:  # a count of elements: the sum of whole parts of parameter times count
        signs = {other: 1 if move > 0 else -1 for other, move in moves.items()}
        whole = number - before
        for other, sign in signs.items():
            whole += sign * int(pattern.starts[other] * count)
            whole -= 0 if other == key else sign * int(known[other].shortest * count)
        elements = whole * signs[key]
        return Interval(elements / count, (elements + 1 - _PRECISION) / count)
    rest = number - before
    for other, move in moves.items():
        rest -= 0 if other == key else move * (known[other].shortest - pattern.starts[other])
    value = pattern.starts[key] + rest / moves[key]
    margin = _PRECISION * max(abs(value), 1e-3)
    return Interval(value - margin, value + margin)
