"""What an enemy can return, and what evaluators are left with."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from evolve.errors import CandidateError
from evolve.returned import Returned

REFUSED = [
    (None, "shape"),
    ("1.0", "shape"),
    ({"__class__": "array"}, "shape"),
    ([1.0, 2.0], r"shape \(2,\); it must be \(3,\)"),
    ([[1.0, 2.0, 3.0]], r"shape \(1, 3\)"),
    ([[1.0], [1.0, 2.0], []], "unequal lengths"),
    (["1", "2", "3"], "must hold float64"),
    ([None, 1.0, 2.0], "must hold float64"),
    ([1.0, 2.0, 10**400], "must hold float64"),
    ([True, False, True], "must hold float64"),
    ([1.0, math.nan, 2.0], r"nan at \(1,\); every entry must be finite"),
    ([1.0, 2.0, -math.inf], "must be finite"),
    (np.array([1.0, 2.0, 9.5]), r"9.5 at \(2,\), which is not within 0..9"),
    (np.array([1.0, 2.0, -5e-324]), "not within"),
    (np.zeros(0), "shape"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED)
def test_what_is_no_array_of_three_numbers_is_the_programs_failure(value, said):
    with pytest.raises(CandidateError, match=said) as caught:
        Returned("f()", value).array((3,), low=0, high=9)
    assert str(caught.value).startswith("f() returned ")
    assert len(str(caught.value)) < 200


def test_what_passes_is_a_new_array_of_the_type_asked_for():
    given = np.array([1, 2, 3], dtype=np.int8)
    found = Returned("f()", given).array((None,))
    assert found.dtype == np.float64
    assert found.tolist() == [1.0, 2.0, 3.0]
    same = np.array([0.5])
    assert Returned("f()", same).array((1,)) is not same
    assert Returned("f()", 7).array((), "int64") == 7


@pytest.mark.parametrize("value", [[1.0], [2**63], [2**70], [True]])
def test_whole_numbers_are_written_as_such_and_fit(value):
    with pytest.raises(CandidateError):
        Returned("f()", value).array((1,), "int64")


def test_bools_are_bools():
    assert Returned("f()", [True, False]).array((2,), "bool").tolist() == [True, False]
    with pytest.raises(CandidateError, match="must hold bool"):
        Returned("f()", [1, 0]).array((2,), "bool")


def test_exact_entries_are_those_of_the_array():
    assert Returned("f()", [[0.1, 0.5]]).exact((1, 2)) == [[Fraction(0.1), Fraction(1, 2)]]
