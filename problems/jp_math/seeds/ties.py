"""TIES: task vectors trimmed to their largest entries, then averaged where their signs agree."""

from evolve.methods import ties
from evolve.recipe import knob

# EVOLVE-BLOCK-START
ja_weight = knob("ja_weight", 0.4, low=-0.5, high=1.5)
math1_weight = knob("math1_weight", 0.5, low=-0.5, high=1.5)
math2_weight = knob("math2_weight", 0.5, low=-0.5, high=1.5)
density = knob("density", 0.6, low=0.05, high=1.0)


def merge(site, base, ja, math1, math2):
    """Merged weight of one parameter."""
    weights = [ja_weight, math1_weight, math2_weight]
    return ties(base, [ja, math1, math2], weights, density=density, normalize=False)


# EVOLVE-BLOCK-END
