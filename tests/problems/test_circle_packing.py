from __future__ import annotations

import importlib.util
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from evolve import resources
from evolve.errors import CandidateError

FOLDER = resources.folder("problems") / "circle_packing"


def module(path):
    spec = importlib.util.spec_from_file_location(f"packing_{path.stem}", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


judge = module(FOLDER / "evaluate.py")


def candidate(rows, count):
    return SimpleNamespace(settings={"circles": count}, call=lambda name, n: rows)


def test_the_score_is_the_exact_sum():
    rows = np.array([[0.25, 0.25, 0.25], [0.75, 0.75, 0.25]])
    found = judge.evaluate(candidate(rows, 2))
    assert found.score == 0.5
    assert found.features["side_contacts"] == 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[0.25, 0.25, 0.25], [0.75, 0.25, math.nextafter(0.25, 1)]], "leaves the square"),
        ([[0.3, 0.5, 0.25], [0.7, 0.5, 0.25]], "overlap"),
        ([[0.5, 0.5, 0.0], [0.2, 0.2, 0.1]], "not positive"),
        ([[0.5, 0.5, 0.1]], r"shape \(1, 3\); it must be \(2, 3\)"),
        ([[0.5, 0.5, math.nan], [0.1, 0.1, 0.1]], "every entry must be finite"),
        ([[0.5, 0.5, 10**400], [0.1, 0.1, 0.1]], "object"),
        ([[0.5, 0.5], [0.1, 0.1]], "shape"),
        (None, "shape"),
        ([["a", 0.5, 0.1], [0.1, 0.1, 0.1]], "must hold float64"),
    ],
)
def test_invalid_packings_are_refused(rows, said):
    with pytest.raises(CandidateError, match=said):
        judge.evaluate(candidate(rows, 2))


def test_a_violation_of_one_unit_in_the_last_place_counts():
    touching = [(Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)), (Fraction(3, 4), Fraction(1, 2), Fraction(1, 4))]
    assert judge.violation(touching) == ""
    touching[1] = (Fraction(math.nextafter(0.75, 0)), Fraction(1, 2), Fraction(1, 4) - Fraction(1, 2**60))
    assert "overlap" in judge.violation(touching)


@pytest.mark.parametrize("seed", sorted((FOLDER / "seeds").glob("*.py")), ids=lambda path: path.stem)
def test_the_seeds_are_valid_packings(seed):
    rows = module(seed).pack(26)
    assert judge.evaluate(candidate(rows, 26)).score > 2.1
