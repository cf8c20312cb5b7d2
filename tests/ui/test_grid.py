from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.features import FeatureAxis
from evolve.store.grid import Grid
from evolve.ui.grid import STYLES, WIDTH, cell_rows, figures, grid_lines, plain

TWO = (FeatureAxis("front", 0.0, 1.0, 3), FeatureAxis("back", -1.0, 1.0, 4))


def made(axes, scores, first=1, islands=(0,)):
    rows = {
        cell: {"program": first + place, "score": score, "island": 0, "proposer": "o", "description": "an \x1b[31medit"}
        for place, (cell, score) in enumerate(scores.items())
    }
    return Grid(axes, islands, dict(sorted(rows.items())))


def shown(grid, sign=1.0, worst=0.0):
    return [plain(line) for line in grid_lines(grid, sign, worst)]


def test_a_matrix_puts_every_elite_where_its_cell_is():
    lines = shown(made(TWO, {(2, 3): 0.75, (0, 0): 0.25, (2, 0): 0.5}, 41))
    assert lines[:4] == [
        "island 0", "3 of 12 cells, coverage 25.0%", "QD score 1.5 (sum over the worst possible score 0)",
        "best 0.75, program 41",
    ]  # fmt: skip
    matrix = [line.split() for line in lines[-7:]]
    assert matrix == [
        ["-1", "-0.5", "0", "0.5"],
        ["0.667", "0.500", ".", ".", "0.750"],
        ["43", "41"],
        ["0.333", ".", ".", ".", "."],
        [],
        ["0", "0.250", ".", ".", "."],
        ["42"],
    ]
    head, score, number = lines[-7], lines[-6], lines[-5]
    assert score.index("0.750") + 5 == len(number) == len(head)


def test_one_feature_is_a_row_and_many_bins_become_digits():
    row = shown(made((FeatureAxis("a", 0.0, 1.0, 4),), {(1,): 1.5, (3,): 12.25}))
    assert [line.split() for line in row[-2:]] == [[".", "1.500", ".", "12.25"], ["1", "2"]]
    many = shown(made((FeatureAxis("a", 0.0, 1.0, 40),), {(1,): 1.0, (2,): 2.0, (39,): 5.0}))
    assert many[-1].split() == [".", "0", "2", *["."] * 36, "9"]


def test_three_features_are_a_table_with_the_best_first():
    lines = shown(made((*TWO, FeatureAxis("c", 0.0, 1.0, 2)), {(0, 0, 0): 0.25, (2, 3, 1): 0.5}))
    assert [re.split(r" {2,}", line)[:3] for line in lines[-3:]] == [
        ["cell", "score", "program"], ["2,3,1", "0.5000", "2"], ["0,0,0", "0.2500", "1"]
    ]  # fmt: skip
    assert "\x1b" not in "".join(lines)


def test_a_minimised_score_has_its_own_sign_and_needs_a_worst_one():
    grid = made(TWO, {(0, 0): -2.0, (1, 1): -3.0})
    assert "name the worst possible score with --worst" in "\n".join(shown(grid, -1.0, None))
    assert figures(grid, -1.0, 10.0)["qd_score"] == 8.0 + 7.0
    assert figures(grid, -1.0, 10.0)["best"] == 2.0
    assert [(row["cell"], row["score"]) for row in cell_rows(grid, -1.0)] == [("0,0", 2.0), ("1,1", 3.0)]


def test_the_best_and_the_worst_elite_differ_in_style():
    styles = {
        text.strip(): style
        for line in grid_lines(made(TWO, {(0, 0): 0.1, (2, 2): 0.9}), 1.0, 0.0)
        for text, style in line
    }
    assert (styles["0.100"], styles["0.900"]) == (STYLES[0], STYLES[-1])


def test_an_empty_grid_and_several_islands_are_named():
    assert "best" not in "\n".join(shown(made(TWO, {}, islands=())))
    assert shown(made(TWO, {(0, 0): 1.0}, islands=(0, 2)))[0].startswith(
        "islands 0, 2 together, the best that they hold"
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 14), st.floats(-1e4, 1e4), st.floats(1e-3, 1e4)), min_size=1, max_size=2),
    st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(1, 10**7),
)  # fmt: skip
def test_a_row_or_a_matrix_fits_a_narrow_terminal(shapes, low, high, first):
    axes = tuple(
        FeatureAxis(f"feature_{index}", low, low + span, bins) for index, (bins, low, span) in enumerate(shapes)
    )
    grid = made(axes, {(0,) * len(axes): low, tuple(axis.bins - 1 for axis in axes): high}, first)
    for line in shown(grid):
        assert len(line) <= WIDTH


@pytest.mark.parametrize("bins", [70, 200])
def test_more_columns_than_the_terminal_has_become_a_table_at_last(bins):
    lines = shown(made((FeatureAxis("a", 0.0, 1.0, bins),), {(0,): 1.0, (bins - 1,): 2.0}))
    assert ("cell" in lines[-3]) == (bins > WIDTH)
