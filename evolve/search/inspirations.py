"""What a proposer sees beside the parent: elites of other cells, and a mate for crossing."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from evolve.search.archive import Archive, Program
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
        pool = [p for p in archive.elites(place) if p.id not in taken and archive.cell(p) != own]
        if place is not None and pool and count > 0:
            chosen.append(max(pool, key=lambda program: (program.score, -program.id)))
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


def mate(archive: Archive, parent: Program, rng: np.random.Generator) -> Program | None:
    """A second parent from any island, None when there is no other.

    Drawn among the most complementary parents in proportion to ``complement``; uniformly among all where nobody solves
    an item better than the parent, or where the problem has no items.
    """
    others = [program for program in archive.parents() if program.id != parent.id]
    if not others:
        return None
    gains = {program.id: complement(parent, program) for program in others}
    useful = sorted((p for p in others if gains[p.id] > 0), key=lambda p: (-gains[p.id], p.id))[:MATES_CONSIDERED]
    if useful:
        return draw(useful, np.array([gains[program.id] for program in useful]), rng)
    return others[int(rng.integers(len(others)))]
