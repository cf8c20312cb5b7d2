"""Layer swapping: other coefficients in the outer layers than in the inner ones."""

from evolve.methods import layer_swap, task_arithmetic
from evolve.recipe import knob

# EVOLVE-BLOCK-START
transition = knob("transition", 0.2, low=0.0, high=0.5)
outer_weight = knob("outer_weight", 0.3, low=-0.5, high=1.5)
inner_weight = knob("inner_weight", 0.5, low=-0.5, high=1.5)


def merge(site, base, maximum, shift, lookup, majority):
    """Merged weight of one parameter."""
    experts = [maximum, shift, lookup, majority]
    outer = task_arithmetic(base, experts, [outer_weight] * 4)
    inner = task_arithmetic(base, experts, [inner_weight] * 4)
    return layer_swap(site, inner=inner, outer=outer, bottom=0.2, top=0.2, transition=transition)


# EVOLVE-BLOCK-END
