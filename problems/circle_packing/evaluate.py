"""Judges a circle packing with exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

from evolve.errors import CandidateError
from evolve.evaluation import Evaluation

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


def read(returned: object, count: int) -> list[tuple[float, float, float]]:
    """The returned rows as floats. Raises CandidateError for anything but ``count`` rows of three finite numbers."""
    rows = returned.tolist() if hasattr(returned, "tolist") else returned
    try:
        circles = [(float(x), float(y), float(radius)) for x, y, radius in rows]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        raise CandidateError(
            f"pack({count}) must return an array of shape ({count}, 3), not {str(rows)[:80]!r}"
        ) from None
    if len(circles) != count:
        raise CandidateError(f"pack({count}) returned {len(circles)} circles; it must return {count}")
    if not all(math.isfinite(value) for circle in circles for value in circle):
        raise CandidateError(f"pack({count}) returned numbers that are not finite")
    return circles


def evaluate(candidate) -> Evaluation:  # type: ignore[no-untyped-def]
    count = int(candidate.settings.get("circles", 26))
    circles = read(candidate.call("pack", count), count)
    problem = violation([(Fraction(x), Fraction(y), Fraction(radius)) for x, y, radius in circles])
    if problem:
        raise CandidateError(f"the packing is not valid: {problem}; shrink the radii a little before returning them")
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
