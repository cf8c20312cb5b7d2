"""Task arithmetic with one coefficient per expert."""

from evolve.methods import task_arithmetic
from evolve.recipe import knob

# EVOLVE-BLOCK-START
maximum_weight = knob("maximum_weight", 0.4, low=-0.5, high=1.5)
shift_weight = knob("shift_weight", 0.4, low=-0.5, high=1.5)
lookup_weight = knob("lookup_weight", 0.4, low=-0.5, high=1.5)
majority_weight = knob("majority_weight", 0.4, low=-0.5, high=1.5)


def merge(site, base, maximum, shift, lookup, majority):
    """Merged weight of one parameter."""
    return task_arithmetic(
        base, [maximum, shift, lookup, majority], [maximum_weight, shift_weight, lookup_weight, majority_weight]
    )


# EVOLVE-BLOCK-END
