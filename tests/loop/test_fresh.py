"""Which elite is evaluated on fresh items, what that changes, and what it is good for."""

from __future__ import annotations

import numpy as np
import pytest

from evolve.features import FeatureAxis
from evolve.loop.fresh import restate, unverified_best
from evolve.search.archive import Archive, Program
from evolve.statistics import unflattered
from evolve.store.records import Cell, Children, ScoredProgram

ITEMS = 300


def grid(cells=4, islands=1):
    return Archive([FeatureAxis("place", 0.0, float(cells), cells)], islands)


def program(number, score, place=0.5, island=0):
    return Program(number, score, {"place": place}, island)


def row(found):
    return ScoredProgram(found.id, found.island, 0, None, found.score, found.features, (), Children())


def above(programs):
    return lambda score: [row(one) for one in programs if one.score > score]


def test_the_best_elite_without_fresh_items_is_next():
    archive = grid()
    for one in (program(1, 0.5, 0.5), program(2, 0.7, 1.5), program(3, 0.7, 2.5)):
        archive.add(one)
    assert unverified_best(archive, set()) == 2
    assert unverified_best(archive, {2}) == 3
    assert unverified_best(archive, {1, 2, 3}) is None
    assert unverified_best(grid(), set()) is None


def test_a_lower_standing_gives_the_cell_to_whoever_had_the_next_best_score():
    archive = grid()
    everyone = [program(1, 0.5), program(2, 0.7), program(3, 0.66), program(4, 0.69, 1.5)]
    for one in everyone:
        archive.add(one)
    cells = restate(archive, 2, 0.6, above(everyone))
    assert cells == [Cell(0, "0", 3, 0.66)]
    assert [one.id for one in archive.elites()] == [3, 4]
    assert archive.find(2) is None


def test_a_program_that_stands_its_ground_keeps_its_cells_with_the_new_number():
    archive = grid(islands=2)
    best = program(2, 0.7)
    for island in (0, 1):
        archive.add(best, island)
    assert restate(archive, 2, 0.75, above([best])) == [Cell(0, "0", 2, 0.75), Cell(1, "0", 2, 0.75)]
    assert not archive.add(program(3, 0.74))
    assert archive.best().score == 0.75
    assert restate(archive, 99, 0.5, above([])) == []


def test_the_archive_is_the_one_that_would_be_read_back():
    """Cells follow from what is known of the programs, not from the order in which it became known."""
    rng = np.random.default_rng(4)
    everyone = [program(i, float(rng.uniform()), float(rng.uniform(0, 4))) for i in range(1, 60)]
    live, known = grid(), []
    standings = {}
    for one in everyone:
        live.add(Program(one.id, one.score, one.features))
        known.append(one)
        if one.id % 10 == 0:
            number = unverified_best(live, standings)
            standings[number] = live.find(number).score - 0.3
            raw = [k for k in known if k.id not in standings]
            restate(live, number, standings[number], lambda score, raw=raw: above(raw)(score))
    again = grid()
    for one in everyone:
        again.add(Program(one.id, standings.get(one.id, one.score), one.features))
    assert {c: p.id for c, p in live.occupancy().items()} == {c: p.id for c, p in again.occupancy().items()}


def searched(rng, fresh_every, cells):
    """200 looks with true means around a plateau; the expected score of the best elite, and its true one."""
    truth = np.clip(0.65 - 0.25 * np.exp(-np.arange(200) / 30) + rng.normal(0, 0.01, 200), 0, 1)
    scores = rng.binomial(ITEMS, truth) / ITEMS
    again = rng.binomial(ITEMS, truth) / ITEMS
    archive, verified, known = grid(cells), {}, []
    for number in range(200):
        one = program(number, float(scores[number]), float(rng.uniform(0, cells)))
        archive.add(one)
        known.append(Program(one.id, one.score, one.features))
        if fresh_every and (number + 1) % fresh_every == 0:
            chosen = unverified_best(archive, verified)
            if chosen is None:
                continue
            verified[chosen] = float(scores[chosen] + again[chosen]) / 2
            raw = [one for one in known if one.id not in verified]
            restate(archive, chosen, verified[chosen], above(raw))
    elites = archive.elites()
    if not fresh_every:
        best = archive.best()
        return best.score - truth[best.id], truth[best.id]
    drop = np.mean([scores[number] - again[number] for number in verified])
    worth = [unflattered(one.score, 0.5 if one.id in verified else 1.0, drop) for one in elites]
    expected, best = max(zip(worth, elites, strict=True), key=lambda pair: pair[0])
    return expected - truth[best.id], truth[best.id]


@pytest.mark.parametrize("cells", [1, 20])
def test_the_optimism_about_the_best_elite_falls_by_more_than_half(cells):
    rng = np.random.default_rng(1)
    plain = np.array([searched(rng, 0, cells) for _ in range(80)])
    fresh = np.array([searched(rng, 20, cells) for _ in range(80)])
    assert plain[:, 0].mean() > 0.05
    assert fresh[:, 0].mean() < 0.5 * plain[:, 0].mean()
    assert fresh[:, 1].mean() > plain[:, 1].mean() - 0.002
