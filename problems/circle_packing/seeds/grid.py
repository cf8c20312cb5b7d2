"""Equal circles on a grid."""

import math

import numpy as np

from evolve.recipe import knob

# EVOLVE-BLOCK-START
margin = knob("margin", 1e-9, low=1e-12, high=1e-6)


def pack(n):
    """Circles on the smallest square grid that holds them: rows of x, y, radius."""
    side = math.ceil(math.sqrt(n))
    radius = 0.5 / side - margin
    rows = [((i % side + 0.5) / side, (i // side + 0.5) / side, radius) for i in range(n)]
    return np.array(rows)


# EVOLVE-BLOCK-END
