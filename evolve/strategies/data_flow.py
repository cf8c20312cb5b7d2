"""Merging in data flow space: which layers of which models a hidden state passes, by CMA-ES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy

from evolve.config import nearest
from evolve.errors import UsageError
from evolve.gaussian import Vector
from evolve.propose.mutator.numbers import Range
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.options import options_of
from evolve.strategies.restarts import Restarts
from evolve.strategies.templates import recipe, require_merge

NAME = "data_flow"
CHOICES = {"order": ("repetition_major", "model_major", "mix"), "scales": ("hops", "layers", "none")}
SCALES = Range(0.5, 1.5)
INCLUDED, LEFT_OUT = 0.75, 0.25
"""Start of an indicator inside and outside the first stack; above 0.5 its layer is included."""

Entry = tuple[str, int]


@dataclass(frozen=True)
class Options:
    """``order``, ``repetitions`` and ``scales`` as in ``DataFlow``; ``models``: the donors in it, all experts unless
    given; ``most_layers``: longest stack, 0 for twice the problem's layers; ``sigma``: first standard deviation, as a
    share of each range; ``population``: 0 for 4 + ⌊3 ln n⌋."""

    order: str = "repetition_major"
    repetitions: int = 1
    scales: str = "hops"
    models: list[str] | None = None
    most_layers: int = 0
    sigma: float = 1 / 6
    population: int = 0


class DataFlow:
    """A sequence of candidate layers, each with an indicator: the layer is included where that is positive.

    Source: Evolutionary optimization of model merging recipes, arXiv 2403.13187, data flow space. The candidates are
    all layers of all models, ``repetitions`` times: ``repetition_major`` goes through all models and then through all
    again, ``model_major`` repeats each model before the next one. Where the next layer comes from another model its
    input is scaled by a number for this pair of models (``scales = "hops"``); ``layers`` has a number for each
    candidate. ``mix`` keeps the depth and takes each layer from the model with the largest indicator. The search starts
    from the first model's layers. Different from the paper: scales belong to pairs of models, not of layers, and
    stacks are no longer than ``most_layers``. Embedding, head and final norm are those of the first model.
    """

    def __init__(self, setting: Setting) -> None:
        """Raises UsageError for options out of range."""
        require_merge(setting, NAME)
        self._options = options_of(Options, setting, CHOICES)
        if self._options.repetitions < 1 or self._options.most_layers < 0:
            raise UsageError("data_flow needs search.options.repetitions of 1 or more and most_layers of 0 or more")
        self._models = _models(setting, self._options.models)
        self._most = self._options.most_layers or 2 * setting.layers
        self._mixed = min(setting.layers, *(setting.donors[name] for name in self._models))
        self.candidates = self._candidates(setting)
        start = self._start()
        self.search = Restarts(start, self._options.sigma, setting.seed, NAME, self._options.population)

    def _candidates(self, setting: Setting) -> tuple[Entry, ...]:
        """All layers that may be included, in the order of the stack."""
        models, repetitions = self._models, range(self._options.repetitions)
        if self._options.order == "mix":
            return tuple((name, layer) for layer in range(self._mixed) for name in models)
        if self._options.order == "model_major":
            ordered = [name for name in models for _ in repetitions]
        else:
            ordered = [name for _ in repetitions for name in models]
        return tuple((name, layer) for name in ordered for layer in range(setting.donors[name]))

    def _start(self) -> Vector:
        """The first model's layers once, unscaled."""
        first, seen = self._models[0], set[Entry]()
        indicators = []
        for entry in self.candidates:
            indicators.append(INCLUDED if entry[0] == first and entry not in seen else LEFT_OUT)
            seen.add(entry)
        return numpy.array([*indicators, *[0.5] * self._scale_count()])

    def _scale_count(self) -> int:
        pairs = len(self._models) * (len(self._models) - 1)
        return {"hops": pairs, "layers": len(self.candidates), "none": 0}[self._options.scales]

    def ask(self, rng: numpy.random.Generator) -> Ask:
        """The next stack as a recipe; CMA-ES draws from generators of its own, which the run's seed decides."""
        point, note = self.search.ask()
        entries, scales = self.stack(point)
        parts = [f"{name} {sum(model == name for model, _ in entries)}" for name in self._models]
        source, description = self._written(entries, scales), f"layers: {', '.join(parts)}"
        return Ask(NAME, source, description=description, patch=NAME, note=note)

    def tell(self, told: Told) -> None:
        """Results of this strategy's own points; seeds are left out."""
        if self.search.owns(told.note):
            self.search.tell(told)

    def stack(self, point: Vector) -> tuple[list[Entry], list[float]]:
        """The layers of a point, at least one and at most ``most_layers``, and the scale of each one's input."""
        indicators, rest = point[: len(self.candidates)], point[len(self.candidates) :]
        chosen = self._chosen(indicators)
        entries = [self.candidates[index] for index in chosen]
        if self._options.scales == "layers":
            return entries, [SCALES.value(float(rest[index])) for index in chosen]
        scales = [1.0] * len(entries)
        if self._options.scales == "hops":
            for place, (before, after) in enumerate(pairwise(model for model, _ in entries), start=1):
                if before != after:
                    scales[place] = SCALES.value(float(rest[self._hop(before, after)]))
        return entries, scales

    def _chosen(self, indicators: Vector) -> list[int]:
        """Indices of the candidates that are included, in order."""
        if self._options.order == "mix":
            width = len(self._models)
            best = indicators.reshape(self._mixed, width).argmax(axis=1)
            return [layer * width + int(model) for layer, model in enumerate(best)]
        chosen = numpy.flatnonzero(indicators > 0.5)
        if not len(chosen):
            chosen = numpy.array([indicators.argmax()])
        if len(chosen) > self._most:
            largest = numpy.argsort(-indicators[chosen], kind="stable")[: self._most]
            chosen = numpy.sort(chosen[largest])
        return [int(index) for index in chosen]

    def _hop(self, before: str, after: str) -> int:
        """The number of an ordered pair of different models."""
        first, second = self._models.index(before), self._models.index(after)
        return first * (len(self._models) - 1) + second - (second > first)

    def _written(self, entries: Sequence[Entry], scales: Sequence[float]) -> str:
        """The recipe: the layers as a list, a scale that is not 1 as entry of a knob."""
        scaled = any(scale != 1.0 for scale in scales)
        rows = [f'    ("{model}", {layer}),' for model, layer in entries]
        body = ["LAYERS = [", *rows, "]"]
        if scaled:
            body.append(f'scales = knob("scales", {list(scales)!r}, low={SCALES.low!r}, high={SCALES.high!r})')
        returned = "[(*layer, scale) for layer, scale in zip(LAYERS, scales)]" if scaled else "LAYERS"
        first = self._models[0]
        body += [
            "", "", "def stack(donors):",
            '    """The layers in order, each with the scale of its input where that is not 1."""',
            f"    return {returned}", "", "", f"def merge(site, {first}):",
            '    """Embedding, head and final norm."""', f"    return {first}",
        ]  # fmt: skip
        names = ", ".join(self._models)
        return recipe(f"A stack of {len(entries)} layers of {names}.", [], "\n".join(body), knobs=scaled)


def _models(setting: Setting, wanted: Sequence[str] | None) -> tuple[str, ...]:
    names = setting.experts if wanted is None else tuple(wanted)
    for name in names:
        if name not in setting.donors:
            raise UsageError(f"search.options.models: no donor {name!r}; {nearest(name, setting.donors)}")
    if not names or len(set(names)) < len(names):
        raise UsageError(f"search.options.models must list one or more different donors, not {list(names)}")
    return names
