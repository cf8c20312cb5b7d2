"""What a proposer sees beside the parent: elites of other cells, and a mate for crossing."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from evolve.search.archive import SCORE, Archive, Program
from evolve.search.samplers import draw

MATES_CONSIDERED = 5


def inspirations(
    archive: Archive,
    parent: Program,
    island: int,
    count: int,
    rng: np.random.Generator,
    exclude: Collection[int] = (),
) -> list[Program]:
    """Up to ``count`` elites of cells other than the parent's, worst first, best last.

    The island's best is always among them, the rest is drawn uniformly; cells of other islands fill up where the island
    has too few. ``exclude`` names further programs to leave out, e.g. the mate.
    """
    own = archive.cell(parent)
    taken = {parent.id, *exclude}
    chosen: list[Program] = []
    for place in (island, None):
        holder = archive.at(own, place)
        pool = [p for p in archive.elites(place) if p is not holder and p.id not in taken]
        if place is not None and pool and count > 0:
            chosen.append(max(pool, key=SCORE))  # of equals the oldest: elites come in the order of ids
            pool.remove(chosen[0])
        wanted = min(count - len(chosen), len(pool))
        if wanted > 0:
            chosen += [pool[int(index)] for index in rng.choice(len(pool), size=wanted, replace=False)]
        taken.update(program.id for program in chosen)
    return sorted(chosen, key=lambda program: (program.score, -program.id))


def complement(parent: Program, other: Program) -> float:
    """How much the other solves of what the parent fails: the mean of max(other − parent, 0), 0..1, over the items that
    both answered."""
    if not parent.outcomes.size or parent.outcomes.shape != other.outcomes.shape:
        return 0.0
    gains = np.maximum(other.outcomes - parent.outcomes, 0.0)
    shared = ~np.isnan(gains)
    return float(gains[shared].mean()) if shared.any() else 0.0


def complements(parent: Program, others: Sequence[Program]) -> dict[int, float]:
    """``complement`` of each of the others, by id; those that answered every item together."""
    whole = [p for p in others if p.outcomes.shape == parent.outcomes.shape and p.outcomes.size]
    table = np.array([p.outcomes for p in whole])
    if not whole or np.isnan(table).any() or np.isnan(parent.outcomes).any():
        return {program.id: complement(parent, program) for program in others}
    means = np.maximum(table - parent.outcomes, 0.0).mean(1)
    return dict.fromkeys((p.id for p in others), 0.0) | dict(zip((p.id for p in whole), means.tolist(), strict=True))


def mate(archive: Archive, parent: Program, rng: np.random.Generator) -> Program | None:
    """A second parent from any island, None when there is no other.

    Drawn among the most complementary parents in proportion to ``complement``; uniformly among all where nobody solves
    an item better than the parent, or where the problem has no items.
    """
    others = [program for program in archive.parents() if program.id != parent.id]
    if not others:
        return None
    gains = complements(parent, others)
    useful = sorted((p for p in others if gains[p.id] > 0), key=lambda p: (-gains[p.id], p.id))[:MATES_CONSIDERED]
    if useful:
        return draw(useful, np.array([gains[program.id] for program in useful]), rng)
    return others[int(rng.integers(len(others)))]
