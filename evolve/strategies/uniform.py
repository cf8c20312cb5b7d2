"""Random search: the knobs of the seed programs, uniform in their bounds."""

from __future__ import annotations

import numpy

from evolve.errors import UsageError
from evolve.strategies.base import Ask, Setting, Told
from evolve.strategies.options import NoOptions, options_of
from evolve.strategies.tuning import Tunable

NAME = "random"


class Uniform:
    """Draws a seed program uniformly among those with knobs, then each number uniformly in its bounds (in the logarithm
    where the bounds span a factor of 20). It learns nothing.

    Source: Random search for hyper-parameter optimization, Bergstra and Bengio 2012.
    """

    def __init__(self, setting: Setting) -> None:
        """Raises UsageError when no seed has knobs."""
        options_of(NoOptions, setting)
        found = {name: Tunable(source) for name, source in setting.seeds.items()}
        self._programs = {name: program for name, program in found.items() if program.space.size}
        if not self._programs:
            raise UsageError(
                'random search needs a seed program with knobs; write numbers as knob("name", 0.5, low=0.0, high=1.0)'
            )

    def ask(self, rng: numpy.random.Generator) -> Ask:
        """A seed's text with random numbers."""
        names = list(self._programs)
        name = names[int(rng.integers(len(names)))]
        program = self._programs[name]
        source, description = program.written(rng.random(program.space.size))
        return Ask(NAME, source, description=f"{name}: {description}", patch=NAME, note={"seed": name})

    def tell(self, told: Told) -> None:
        """Nothing is remembered."""
