"""A perturbed hexagonal start, relaxed by linear programming of the radii and a gradient-free push of the centres."""

import numpy as np
from scipy.optimize import linprog

from evolve.recipe import knob

# EVOLVE-BLOCK-START
columns = knob("columns", 5.0, low=3.0, high=8.0)
jitter = knob("jitter", 0.02, low=0.0, high=0.2)
step = knob("step", 0.02, low=0.001, high=0.2)
rounds = knob("rounds", 150.0, low=10.0, high=600.0)
margin = knob("margin", 1e-10, low=1e-12, high=1e-7)


def best_radii(centres):
    """The radii with the largest sum for fixed centres (n, 2): a linear program."""
    n = len(centres)
    first, second = np.triu_indices(n, 1)
    distance = np.linalg.norm(centres[first] - centres[second], axis=1)
    pairs = np.zeros((len(first), n))
    pairs[np.arange(len(first)), first] = 1.0
    pairs[np.arange(len(first)), second] = 1.0
    walls = np.minimum(centres, 1 - centres).min(axis=1)
    solution = linprog(-np.ones(n), A_ub=pairs, b_ub=distance, bounds=[(0, wall) for wall in walls], method="highs")
    return solution.x if solution.x is not None else np.full(n, 1e-4)


def shrunk(centres, radii):
    """The radii scaled down until the packing is strictly valid (a solver meets its constraints to about 1e-7)."""
    first, second = np.triu_indices(len(centres), 1)
    distance = np.linalg.norm(centres[first] - centres[second], axis=1)
    radii = np.maximum(radii, 1e-6)
    pairs = np.min(distance / (radii[first] + radii[second]))
    walls = np.min(np.minimum(centres, 1 - centres).min(axis=1) / radii)
    return radii * min(1.0, pairs, walls) * (1 - margin)


def start(n, rng):
    """Centres (n, 2) in staggered rows."""
    width = max(2, round(columns))
    height = int(np.ceil(n / width))
    points = [((i % width + 0.25 + 0.5 * (i // width % 2)) / width, (i // width + 0.5) / height) for i in range(n)]
    return np.clip(np.array(points) + rng.normal(0, jitter, (n, 2)), 0.02, 0.98)


def pack(n):
    """Rows of x, y, radius."""
    rng = np.random.default_rng(0)
    centres = start(n, rng)
    radii = best_radii(centres)
    size = step
    for _ in range(int(rounds)):
        moved = np.clip(centres + rng.normal(0, size, centres.shape) * (rng.random((n, 1)) < 0.2), 0.005, 0.995)
        tried = best_radii(moved)
        if tried.sum() > radii.sum():
            centres, radii = moved, tried
        else:
            size = max(size * 0.98, 1e-4)
    return np.column_stack([centres, shrunk(centres, radii)])


# EVOLVE-BLOCK-END
