"""Lines of parents and trees of descendants, from a database written as the loop writes it."""

from __future__ import annotations

import pytest

from evolve.evaluation import Evaluation
from evolve.store.descent import descent
from evolve.store.gains import TUNING


@pytest.fixture
def add(database, ask, score):
    """add(score, parent=None, **fields): a scored proposal; its number."""

    def adding(value, parent=None, **fields):
        number = ask(database, parent, **fields)
        score(database, number, value, cell=str(number))
        return number

    return adding


def test_a_line_tells_each_edit_and_what_it_did_to_the_score(database, add):
    seed = add(0.25, patch="seed", proposer="problem", seed_name="linear")
    child = add(0.5, seed, proposer="offline", description="scales")
    last = add(0.375, child, patch=TUNING, proposer="tuning", generation=2)
    line = descent(database.connection, last, 5, 5).line
    assert [(step.id, step.patch, step.proposer, step.score, step.gain) for step in line] == [
        (seed, "seed", "problem", 0.25, None),
        (child, "diff", "offline", 0.5, 0.25),
        (last, TUNING, "tuning", 0.375, -0.125),
    ]


def test_the_tree_holds_the_best_descendants_and_who_lies_between(database, add, ask):
    root = add(0.1)
    middle = add(0.2, root)
    best = add(0.9, add(0.3, middle))
    add(0.4, root)
    second = add(0.5, root)
    add(0.99, middle, patch="ablation")
    database.set_state(ask(database, root), "rejected", reason="patch", message="no")
    found = descent(database.connection, root, 2, 10)
    assert found.best == (best, second)
    assert [step.id for step in found.tree] == [middle, middle + 1, best, second]
    assert found.descendants == 7
    assert descent(database.connection, best, 2, 10).tree == ()


def test_depth_bounds_the_generations_that_are_looked_at(database, add):
    numbers = [add(0.1)]
    for step in range(1, 5):
        numbers.append(add(0.1 + 0.1 * step, numbers[-1]))
    found = descent(database.connection, numbers[0], 1, 2)
    assert (found.best, found.descendants) == ((numbers[2],), 2)
    assert descent(database.connection, numbers[4], 1, 2).line[0].id == numbers[0]


def test_the_older_of_equal_descendants_is_chosen_and_partial_scores_do_not_count(database, add, ask):
    root = add(0.1)
    first = add(0.5, root)
    add(0.5, root)
    raced = ask(database, root)
    database.add_evaluation(raced, Evaluation(1.0, {}, {}, (1.0,)), stopped="raced", items_total=9)
    assert descent(database.connection, root, 1, 3).best == (first,)
    assert descent(database.connection, raced, 1, 3).line[-1].score is None
