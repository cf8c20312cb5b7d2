"""Layer swapping: the outer layers from the Japanese expert, the inner ones from both mathematics experts."""

from evolve.methods import layer_swap, task_arithmetic
from evolve.recipe import knob

# EVOLVE-BLOCK-START
bottom = knob("bottom", 0.2, low=0.0, high=0.6)
top = knob("top", 0.2, low=0.0, high=0.6)
transition = knob("transition", 0.2, low=0.0, high=0.5)
math1_weight = knob("math1_weight", 0.5, low=-0.5, high=1.5)
math2_weight = knob("math2_weight", 0.5, low=-0.5, high=1.5)


def merge(site, base, ja, math1, math2):
    """Merged weight of one parameter."""
    mathematics = task_arithmetic(base, [math1, math2], [math1_weight, math2_weight])
    return layer_swap(site, inner=mathematics, outer=ja, bottom=bottom, top=top, transition=transition)


# EVOLVE-BLOCK-END
