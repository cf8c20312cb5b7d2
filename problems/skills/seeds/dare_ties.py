"""DARE-TIES: task vectors thinned at random and rescaled, then averaged where their signs agree."""

from evolve.methods import dare_ties
from evolve.recipe import knob

# EVOLVE-BLOCK-START
maximum_weight = knob("maximum_weight", 0.4, low=-0.5, high=1.5)
shift_weight = knob("shift_weight", 0.4, low=-0.5, high=1.5)
lookup_weight = knob("lookup_weight", 0.4, low=-0.5, high=1.5)
majority_weight = knob("majority_weight", 0.4, low=-0.5, high=1.5)
density = knob("density", 0.8, low=0.05, high=1.0)


def merge(site, base, maximum, shift, lookup, majority):
    """Merged weight of one parameter."""
    weights = [maximum_weight, shift_weight, lookup_weight, majority_weight]
    return dare_ties(base, [maximum, shift, lookup, majority], weights, density)


# EVOLVE-BLOCK-END
