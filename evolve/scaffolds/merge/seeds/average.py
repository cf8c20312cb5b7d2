"""Equal parts of both experts."""

import torch

from evolve.methods import dare_linear, dare_ties, layer_swap, linear, slerp, task_arithmetic, ties
from evolve.recipe import knob

# EVOLVE-BLOCK-START
first_weight = knob("first_weight", 0.5, low=-0.5, high=1.5)
second_weight = knob("second_weight", 0.5, low=-0.5, high=1.5)


def merge(site, base, first, second):
    """Task arithmetic with one weight for each expert."""
    return task_arithmetic(base, [first, second], [first_weight, second_weight])


# EVOLVE-BLOCK-END
