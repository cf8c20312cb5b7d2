"""CMA-ES over the weights of task arithmetic, or over the knobs of one seed program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.options import options_of
from evolve.strategies.restarts import Restarts
from evolve.strategies.templates import require_base, require_merge, tunable_seed, weighted_sum
from evolve.strategies.tuning import Tunable

NAME = "cmaes"
LOW, HIGH = 0.0, 1.5


@dataclass(frozen=True)
class Options:
    """``program``: a seed whose knobs are tuned in place of the template; ``sigma``: first standard deviation, as a
    share of each range; ``population``: 0 for 4 + ⌊3 ln n⌋."""

    program: str = ""
    sigma: float = 1 / 6
    population: int = 0


class TaskArithmetic:
    """One coefficient per expert, from equal weights 1/n, by CMA-ES with restarts.

    Source: Editing models with task arithmetic, arXiv 2212.04089; CMA-ES as in Hansen 2016, arXiv:1604.00772.
    """

    def __init__(self, setting: Setting) -> None:
        """Raises UsageError for a problem without a base, unless ``program`` names a seed with knobs."""
        require_merge(setting, NAME)
        options = options_of(Options, setting)
        self._program = tunable_seed(setting, options.program) if options.program else _template(setting)
        start = self._program.space.here()
        self.search = Restarts(start, options.sigma, setting.seed, NAME, options.population)

    def ask(self, rng: numpy.random.Generator) -> Ask:
        """The next point as a recipe; CMA-ES draws from generators of its own, which the run's seed decides."""
        point, note = self.search.ask()
        source, description = self._program.written(point)
        return Ask(NAME, source, description=description or "the start", patch=NAME, note=note)

    def tell(self, told: Told) -> None:
        """Results of this strategy's own points; seeds are left out."""
        if self.search.owns(told.note):
            self.search.tell(told)


def _template(setting: Setting) -> Tunable:
    require_base(setting, f"the strategy {NAME!r}")
    return Tunable(weighted_sum(setting, LOW, HIGH, round(1 / len(setting.experts), 4)))
