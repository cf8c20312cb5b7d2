from __future__ import annotations

import numpy as np
import pytest

from evolve.search.novelty import Index, fingerprint, unit

RECIPE = '''
"""Task arithmetic."""

weight = knob("weight", 0.4, low=0.0, high=1.5)
TABLE = [0.1, 0.2, 0.3]


def merge(site, base, ja, math):
    """Merged weight of one parameter."""
    delta = weight * (ja - base)
    if site.block == "attention":
        delta = delta + TABLE[site.layer % 3] * (math - base)
    return base + delta
'''


def likeness(one: str, other: str) -> float:
    return float(fingerprint(one).words @ fingerprint(other).words)


def test_layout_comments_and_names_of_variables_do_not_count() -> None:
    other = RECIPE.replace("delta", "difference").replace("weight * ", "weight   *  ").replace("TABLE", "amounts")
    other = other.replace("    return", "    # the end\n    return").replace('"""Task arithmetic."""', '"""Other."""')
    assert likeness(RECIPE, other) == pytest.approx(1.0, abs=1e-6)
    assert fingerprint(RECIPE).numbers == fingerprint(other).numbers


def test_names_that_callers_use_count() -> None:
    assert likeness(RECIPE, RECIPE.replace("math", "code")) < 0.99
    assert likeness(RECIPE, RECIPE.replace("def merge", "def stack")) < 0.999


def test_numbers_are_kept_apart_from_words() -> None:
    other = RECIPE.replace("0.4", "0.41")
    assert likeness(RECIPE, other) == pytest.approx(1.0, abs=1e-6)
    assert fingerprint(RECIPE).numbers != fingerprint(other).numbers
    assert fingerprint("x = [0.5, 1e-3, 2, -7.25e+10]\n").numbers == (0.5, 1e-3, 2.0, 7.25e10)


def test_another_structure_is_less_alike_than_another_line() -> None:
    line = RECIPE.replace('"attention"', '"mlp"')
    head = RECIPE[: RECIPE.index("    delta =")]
    structure = head + "    return ties(base, [ja, math], [weight, weight], density=0.5)\n"
    assert likeness(RECIPE, structure) < likeness(RECIPE, line) < 1.0
    assert likeness(RECIPE, structure) < 0.8


def test_a_text_that_is_no_python_can_be_compared() -> None:
    assert likeness("def broken(:\n  x", "def   broken(:\n x") == pytest.approx(1.0, abs=1e-6)
    assert not fingerprint("").words.any()


def test_nearest_equals_the_search_by_hand() -> None:
    rng = np.random.default_rng(0)
    vectors = [unit(row) for row in rng.standard_normal((300, 16))]
    index = Index(16)
    for number, vector in enumerate(vectors, start=1):
        index.add(number, vector, group=number % 3)
    wanted = unit(rng.standard_normal(16))
    for group in range(3):
        by_hand = max((float(v @ wanted), n) for n, v in enumerate(vectors, start=1) if n % 3 == group)
        found = index.nearest(wanted, group)
        assert found is not None
        assert (found.similarity, found.id) == (pytest.approx(by_hand[0], abs=1e-6), by_hand[1])
    assert index.nearest(wanted, group=7) is None
    assert Index(16).nearest(wanted) is None


def test_removed_and_replaced_programs_are_not_found() -> None:
    index = Index(2, capacity=3)
    east, north = np.array([1, 0], dtype=np.float32), np.array([0, 1], dtype=np.float32)
    index.add(1, east)
    index.add(2, north)
    index.remove(1)
    index.remove(99)
    assert index.nearest(east).id == 2  # type: ignore[union-attr]
    for number in (3, 4, 5):
        index.add(number, north)
    assert len(index) == 3
    assert index.nearest(north).id == 4  # type: ignore[union-attr]


def test_the_nearest_of_four_thousand_is_found() -> None:
    rng = np.random.default_rng(1)
    rows = np.stack([unit(row) for row in rng.standard_normal((4096, 1024))])
    index = Index()
    for number, row in enumerate(rows):
        index.add(number, row)
    for wanted in map(unit, rng.standard_normal((3, 1024))):
        assert index.nearest(wanted).id == int(np.argmax(rows @ wanted))  # type: ignore[union-attr]
