"""Two parabolas, one for each half."""

import numpy as np

from evolve.recipe import knob

# EVOLVE-BLOCK-START
height = knob("height", 0.9, low=0.0, high=2.0)
correction = knob("correction", 0.0, low=-1.0, high=1.0)


def approximate(x):
    """sin(x) for x in [0, 2 pi]."""
    half = np.where(x < np.pi, x, x - np.pi)
    bump = 4 * half * (np.pi - half) / np.pi**2
    return np.where(x < np.pi, 1, -1) * (height * bump + correction * bump * bump)


# EVOLVE-BLOCK-END
