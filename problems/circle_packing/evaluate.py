"""Judges a circle packing with exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

from evolve.errors import CandidateError
from evolve.evaluation import Evaluation
from evolve.returned import Returned

NEAR = 1e-6
"""Distance at which a circle counts as touching a side, for the feature only."""


def violation(circles: list[tuple[Fraction, Fraction, Fraction]]) -> str:
    """What is wrong with exact circles ``(x, y, radius)``, or an empty string. No tolerance."""
    for i, (x, y, radius) in enumerate(circles):
        if radius <= 0:
            return f"circle {i} has radius {float(radius)}, which is not positive"
        excess = max(radius - x, x + radius - 1, radius - y, y + radius - 1)
        if excess > 0:
            return f"circle {i} leaves the square by {float(excess):.3g}"
    for i, (x, y, radius) in enumerate(circles):
        for j, (u, v, other) in enumerate(circles[:i]):
            gap = (x - u) ** 2 + (y - v) ** 2 - (radius + other) ** 2
            if gap < 0:
                depth = float(radius + other) - math.hypot(float(x - u), float(y - v))
                return f"circles {j} and {i} overlap by {max(depth, 0.0):.3g}"
    return ""


def evaluate(candidate) -> Evaluation:  # type: ignore[no-untyped-def]
    count = int(candidate.settings.get("circles", 26))
    exact = Returned(f"pack({count})", candidate.call("pack", count)).exact((count, 3))
    problem = violation([(x, y, radius) for x, y, radius in exact])
    if problem:
        raise CandidateError(f"the packing is not valid: {problem}; shrink the radii a little before returning them")
    circles = [(float(x), float(y), float(radius)) for x, y, radius in exact]
    radii = [radius for _, _, radius in circles]
    mean = math.fsum(radii) / count
    spread = math.sqrt(math.fsum((radius - mean) ** 2 for radius in radii) / count)
    contacts = sum(min(x - r, 1 - x - r, y - r, 1 - y - r) < NEAR for x, y, r in circles)
    total = math.fsum(radii)
    return Evaluation(
        score=total,
        metrics={"sum_of_radii": total, "smallest_radius": min(radii), "largest_radius": max(radii)},
        features={"radius_spread": spread, "side_contacts": float(contacts)},
        feedback=f"valid; {contacts} circles touch a side; radii from {min(radii):.4f} to {max(radii):.4f}",
    )
