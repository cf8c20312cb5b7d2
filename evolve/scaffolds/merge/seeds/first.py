"""The donor `first` alone."""

import torch

from evolve.methods import dare_linear, dare_ties, layer_swap, linear, slerp, task_arithmetic, ties
from evolve.recipe import knob


# EVOLVE-BLOCK-START
def merge(site, first):
    """`first`, unchanged."""
    return first


# EVOLVE-BLOCK-END
