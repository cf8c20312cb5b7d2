from __future__ import annotations

import pytest

RECIPE = '''"""Task arithmetic."""

import torch
from evolve.recipe import knob
from evolve.methods import dare_linear, dare_ties, layer_swap, linear, slerp, task_arithmetic, ties

# EVOLVE-BLOCK-START
ja_weight = knob("ja_weight", 0.5, low=0.0, high=1.5)
math_weight = knob("math_weight", 0.3, low=0.0, high=1.5)


def merge(site, base, ja, math):
    """Merged weight of one parameter."""
    return task_arithmetic(base, [ja, math], [ja_weight, math_weight])
# EVOLVE-BLOCK-END
'''

PROGRAM = '''import math

HELD = 3.5
# EVOLVE-BLOCK-START
def place(count):
    """Points on a spiral."""
    points = []
    for index in range(count):
        angle = 2.4 * index
        radius = 0.45 * math.sqrt(index / count)
        points.append((0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)))
    return points
# EVOLVE-BLOCK-END
def run():
    return place(26)
'''


@pytest.fixture
def recipe() -> str:
    return RECIPE


@pytest.fixture
def program() -> str:
    return PROGRAM
