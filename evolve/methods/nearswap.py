"""Nearswap: taking over what is nearly the same."""

from __future__ import annotations

import math

from torch import Tensor

from evolve.methods.arguments import within

SMALLEST_GAP = 1e-6


def nearswap(a: Tensor, b: Tensor, t: float) -> Tensor:
    """``w b + (1 - w) a`` with ``w = min(t / |a - b|, 1)``, elementwise: moves by at most t towards b.

    Where the two differ by at most ``t`` the result is b, elsewhere a shifted by t towards b. ``t`` is in units of the
    weights, at least 0 (ValueError otherwise). As mergekit's ``nearswap`` (differences below 1e-6 count as 1e-6); after
    alchemonaut's QuartetAnemoi models, no paper.
    """
    within("t", t, 0, math.inf)
    near = (t / (a - b).abs().clamp(min=SMALLEST_GAP)).clamp(max=1.0)
    return near * b + (1.0 - near) * a
