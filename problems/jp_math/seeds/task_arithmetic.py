"""Task arithmetic with one coefficient per expert."""

from evolve.methods import task_arithmetic
from evolve.recipe import knob

# EVOLVE-BLOCK-START
ja_weight = knob("ja_weight", 0.4, low=-0.5, high=1.5)
math1_weight = knob("math1_weight", 0.5, low=-0.5, high=1.5)
math2_weight = knob("math2_weight", 0.5, low=-0.5, high=1.5)


def merge(site, base, ja, math1, math2):
    """Merged weight of one parameter."""
    return task_arithmetic(base, [ja, math1, math2], [ja_weight, math1_weight, math2_weight])


# EVOLVE-BLOCK-END
