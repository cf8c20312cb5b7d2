"""Scores an approximation of the sine.

The candidate runs in a sandbox and returns data; everything about the score is computed here, from that data.
"""

from __future__ import annotations

import math

import numpy as np

from evolve.errors import CandidateError
from evolve.evaluation import Evaluation
from evolve.returned import Returned

FORBIDDEN = ("sin", "cos", "tan", "exp", "fft", "interp")


def evaluate(candidate) -> Evaluation:  # type: ignore[no-untyped-def]
    for word in FORBIDDEN:
        if f"np.{word}" in candidate.source or f"math.{word}" in candidate.source:
            raise CandidateError(f"np.{word} is not allowed here; use + - * / only")
    x = np.linspace(0, 2 * math.pi, 200)
    y = Returned("approximate(x)", candidate.call("approximate", x)).array(x.shape)  # finite, or the program's failure
    error = float(np.max(np.abs(y - np.sin(x))))
    return Evaluation(
        score=1 / (1 + error),
        metrics={"largest_error": error},
        features={"source_length": len(candidate.source)},
        feedback=f"largest error {error:.6g} at x = {float(x[int(np.argmax(np.abs(y - np.sin(x))))]):.3f}",
    )
