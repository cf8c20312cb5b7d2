"""Merging in parameter space: weights and densities of every layer and expert, by CMA-ES."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from evolve.errors import UsageError
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.options import options_of
from evolve.strategies.restarts import Restarts
from evolve.strategies.templates import GROUP_OF_SITE, groups_of, knob_line, recipe, require_base, require_merge
from evolve.strategies.tuning import Tunable

NAME = "parameter_space"
SHARED, SINGLE = "shared", "single"
START = 0.5
DENSITIES = (0.1, 1.0)
"""A density of 0 would drop an expert, which its weight can do as well."""

WITH_DENSITY = frozenset({"dare_ties", "ties"})

CHOICES = {
    "method": ("dare_ties", "ties", "task_arithmetic", "linear"),
    "per": ("layer", "model"),
    "start": ("default", "global"),
}


@dataclass(frozen=True)
class Options:
    """``method``, ``per`` and ``start`` as in ``ParameterSpace``; ``global_evaluations``: results that shared numbers
    get with ``start = "global"``; ``low`` and ``high``: bounds of the weights; ``sigma``: first standard deviation, as
    a share of each range; ``population``: 0 for 4 + ⌊3 ln n⌋."""

    method: str = "dare_ties"
    per: str = "layer"
    start: str = "default"
    global_evaluations: int = 66
    low: float = 0.0
    high: float = 1.0
    sigma: float = 1 / 6
    population: int = 0


class ParameterSpace:
    """DARE-TIES with a weight and a density for each expert in the embedding, in every layer, and in head with final
    norm; all start at 0.5.

    Source: Evolutionary optimization of model merging recipes, arXiv 2403.13187, parameter space. ``per = "model"`` has
    one number for all groups. ``start = "global"`` first searches those and then goes on wide from the best of them.
    Different from the paper: densities end at 0.1, and points outside the bounds are reflected.
    """

    def __init__(self, setting: Setting) -> None:
        """Raises UsageError for options out of range and for a method that needs a base where there is none."""
        require_merge(setting, NAME)
        self._options = options_of(Options, setting, CHOICES)
        if not self._options.low <= START <= self._options.high or self._options.low == self._options.high:
            raise UsageError(
                f"{NAME} starts at {START}; low {self._options.low:g} and high {self._options.high:g} must enclose it"
            )
        self._seed = setting.seed
        self._program = Tunable(template(setting, self._options))
        self._results = 0
        both = self._options.start == "global" and self._options.per == "layer"
        self._begin(SHARED if both else SINGLE, self._program.space.here())

    def _begin(self, phase: str, entries: numpy.typing.NDArray[numpy.float64]) -> None:
        self.phase = phase
        start = self._program.here(shared=True) if phase == SHARED else entries
        self.search = Restarts(start, self._options.sigma, self._seed, f"{NAME} {phase}", self._options.population)

    def ask(self, rng: numpy.random.Generator) -> Ask:
        """The next point as a recipe; CMA-ES draws from generators of its own, which the run's seed decides."""
        point, note = self.search.ask()
        entries = self._program.spread(point) if self.phase == SHARED else point
        source, description = self._program.written(entries)
        return Ask(NAME, source, description=description or "the start", patch=NAME, note=note)

    def tell(self, told: Told) -> None:
        """Results of this strategy's own points; those of the shared phase that end after it are left out."""
        if not self.search.owns(told.note):
            return
        self.search.tell(told)
        self._results += told.used
        if self.phase == SHARED and self._results >= self._options.global_evaluations:
            best = self.search.best[0] if self.search.best else self._program.here(shared=True)
            self._begin(SINGLE, self._program.spread(best))


def template(setting: Setting, options: Options) -> str:
    """The recipe with all knobs at the start."""
    experts, method = setting.experts, options.method
    groups = groups_of(setting) if options.per == "layer" else 0
    at = "[group(site)]" if groups else ""
    knobs = [knob_line(f"{name}_weight", START, options.low, options.high, groups) for name in experts]
    if method in WITH_DENSITY:
        knobs += [knob_line(f"{name}_density", START, *DENSITIES, groups) for name in experts]
    head = "" if method == "linear" else f"{require_base(setting, f'method {method}')}, "
    lines = [f"weights = [{', '.join(f'{name}_weight{at}' for name in experts)}]"]
    if method in WITH_DENSITY:
        lines.append(f"densities = [{', '.join(f'{name}_density{at}' for name in experts)}]")
    rest = {"dare_ties": ", densities", "ties": ", densities, normalize=False"}.get(method, "")
    tensors = ", ".join(experts)
    lines.append(f"return {method}({head}[{tensors}], weights{rest})")
    helper = f"{GROUP_OF_SITE.format(last=groups - 1)}\n\n" if groups else ""
    merge = f'def merge(site, {head}{tensors}):\n    """Merged weight of one parameter."""\n    ' + "\n    ".join(lines)
    where = "expert and group of layers" if groups else "expert"
    body = "\n".join(knobs) + f"\n\n\n{helper}{merge}"
    return recipe(f"The method {method} with numbers of its own for each {where}.", [method], body)
