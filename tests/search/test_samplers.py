"""One contract for every parent sampler, then what is particular to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.errors import EvolveError, UsageError
from evolve.search import samplers
from evolve.search.archive import Archive, Program
from evolve.search.features import FeatureAxis

Make = Callable[..., Program]
LINE = (FeatureAxis("x", 0.0, 1.0, 10),)
EVERY = pytest.mark.parametrize("name", samplers.names())


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def shares(sampler: samplers.ParentSampler, archive: Archive, draws: int = 4000) -> dict[int, float]:
    rng = generator()
    counted = Counter(sampler.choose(archive, 0, rng).id for _ in range(draws))
    return {number: count / draws for number, count in counted.items()}


def archive_of(scores: list[float]) -> Archive:
    archive = Archive(LINE)
    for index, score in enumerate(scores):
        archive.add(Program(index + 1, score, {"x": (index + 0.5) / 10}, children=index % 3))
    return archive


# --- the contract ---


@EVERY
@settings(max_examples=25)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -1.0]), min_size=1, max_size=10),
    st.integers(0, 2**32),
)
def test_any_finite_scores_give_an_elite(name: str, scores: list[float], seed: int) -> None:
    archive, rng, sampler = archive_of(scores), generator(seed), samplers.sampler(name)
    for _ in range(5):
        assert sampler.choose(archive, 0, rng) in archive.elites(0)


@EVERY
@pytest.mark.parametrize("scores", [[-3.0], [0.5] * 6, [-1.0, -2.0, -3.0], [1e308, -1e308], [0.0] * 5 + [1.0]])
def test_one_elite_ties_and_negative_scores(name: str, scores: list[float]) -> None:
    archive, sampler, rng = archive_of(scores), samplers.sampler(name), generator()
    for _ in range(50):
        assert sampler.choose(archive, 0, rng) in archive.elites(0)


@EVERY
def test_equal_generators_give_equal_parents(name: str, archive: Archive) -> None:
    def parents() -> list[int]:
        sampler, rng = samplers.sampler(name), generator(7)
        return [sampler.choose(archive, 0, rng).id for _ in range(30)]

    assert parents() == parents()


@EVERY
def test_an_archive_read_back_gives_the_same_parents(name: str, archive: Archive, axes) -> None:
    again = Archive(axes, islands=2)
    for program in reversed(archive.elites()):
        again.add(program)
    one, two = samplers.sampler(name), samplers.sampler(name)
    rngs = generator(3), generator(3)
    for _ in range(30):
        assert one.choose(archive, 0, rngs[0]).id == two.choose(again, 0, rngs[1]).id


@EVERY
def test_the_archive_is_left_alone(name: str, archive: Archive) -> None:
    before = [(p.id, p.score, p.children, p.archived_children) for p in archive.elites()]
    sampler, rng = samplers.sampler(name), generator()
    for _ in range(20):
        sampler.choose(archive, 0, rng)
    assert [(p.id, p.score, p.children, p.archived_children) for p in archive.elites()] == before


@EVERY
def test_an_island_without_elites_is_served_by_the_others(name: str, archive: Archive) -> None:
    assert samplers.sampler(name).choose(archive, 1, generator()) in archive.elites(0)


@EVERY
def test_an_empty_archive_is_a_clear_error(name: str) -> None:
    with pytest.raises(EvolveError, match=r"archive is empty.*evaluate a seed first"):
        samplers.sampler(name).choose(Archive(LINE), 0, generator())


# --- each strategy ---


def test_weighted_follows_its_formula() -> None:
    programs = [Program(i, score, {}, children=c) for i, (score, c) in enumerate([(0.1, 0), (0.2, 1), (0.4, 3)])]
    # median 0.2, deviations 0.1, 0, 0.2, so MAD 0.1
    expected = [1 / (1 + np.exp(10)), 0.5 / 2, 1 / (1 + np.exp(-20)) / 4]
    assert samplers.Weighted().weights(programs) == pytest.approx(expected, rel=1e-12)


def test_weighted_with_equal_scores_prefers_fewer_children() -> None:
    programs = [Program(i, -2.0, {}, children=c) for i, c in enumerate([0, 1, 4])]
    assert samplers.Weighted().weights(programs) == pytest.approx([0.5, 0.25, 0.1])


def test_power_law_halves_and_thirds_by_rank() -> None:
    found = shares(samplers.sampler("power_law"), archive_of([-1.0, -3.0, -2.0]))
    assert [found[number] for number in (1, 3, 2)] == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.03)


def test_uniform_cell_ignores_scores() -> None:
    found = shares(samplers.sampler("uniform_cell"), archive_of([0.0, 100.0, -100.0, 1.0]))
    assert list(found.values()) == pytest.approx([0.25] * 4, abs=0.03)


def test_curiosity_prefers_parents_whose_children_succeed() -> None:
    archive = Archive(LINE)
    for number, (children, archived) in enumerate([(8, 8), (8, 0), (0, 0)], start=1):
        archive.add(Program(number, 0.0, {"x": number / 10}, children=children, archived_children=archived))
    found = shares(samplers.sampler("curiosity"), archive)
    assert [found[number] for number in (1, 2, 3)] == pytest.approx([0.9 / 1.5, 0.1 / 1.5, 0.5 / 1.5], abs=0.03)


def test_explore_exploit_mixes_island_archive_and_score(make: Make, axes) -> None:
    archive = Archive(axes, islands=2)
    archive.add(make(1, -1.0, 0.1, island=0))
    archive.add(make(2, 1.0, 0.3, island=0))
    archive.add(make(3, 0.0, 0.5, island=1))
    found = shares(samplers.sampler("explore_exploit"), archive)
    assert found[3] == pytest.approx(0.7 / 3, abs=0.03)
    assert found[1] == pytest.approx(0.1 + 0.7 / 3 + 0.1 * 0.01 / 1.02, abs=0.03)


def test_beam_stays_with_a_parent_for_its_width_and_then_takes_the_best(make: Make, axes) -> None:
    archive, sampler, rng = Archive(axes), samplers.Beam(width=3), generator()
    archive.add(make(1, 0.1, 0.1))
    drawn = [sampler.choose(archive, 0, rng).id]
    archive.add(make(2, 0.9, 0.5))
    drawn += [sampler.choose(archive, 0, rng).id for _ in range(3)]
    assert drawn == [1, 1, 1, 2]
    archive.add(make(3, 1.0, 0.5))  # takes the cell of 2
    assert sampler.choose(archive, 0, rng).id == 3


# --- the registry ---


def test_unknown_names_get_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="unknown parent sampler 'wieghted'; did you mean 'weighted'"):
        samplers.sampler("wieghted")
    with pytest.raises(UsageError, match="known: weighted, power_law"):
        samplers.sampler("zzz")


def test_packages_add_samplers_by_entry_point(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "oldest_first.py").write_text(
        "class Oldest:\n    def choose(self, archive, island, rng):\n        return archive.elites(island)[0]\n"
    )
    information = tmp_path / "oldest_first-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: oldest_first\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[evolve.parent_samplers]\noldest = oldest_first:Oldest\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "oldest" in samplers.names()
    assert samplers.sampler("oldest").choose(archive_of([0.1, 0.9]), 0, generator()).id == 1
