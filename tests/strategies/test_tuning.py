"""Tuning real program texts on a known landscape, and the choice between structure and tuning."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.propose.base import Parent
from evolve.propose.mutator.literals import knob_values
from evolve.search.archive import Program
from evolve.strategies.base import Told
from evolve.strategies.tuning import SHARED, SINGLE, Controller, Tunable, Tuning, TuningOptions

HEAD = "from evolve.recipe import knob\n\n# EVOLVE-BLOCK-START\n"
PAIR = HEAD + 'a = knob("a", 0.5, low=0.0, high=1.0)\nb = knob("b", 3, low=0, high=9)\n# EVOLVE-BLOCK-END\n'
WIDE = HEAD + (
    'table = knob("table", [0.1, 0.2, 0.3, 0.2], low=0.0, high=1.0)\nrate = knob("rate", 0.01, low=0.001, high=1.0)\n'
    '# EVOLVE-BLOCK-END\nfixed = knob("fixed", 0.5, low=0.0, high=1.0)\n'
)
PLAIN = 'x = knob("x", 0.9, low=-1.0, high=1.0)\n\n\ndef f():\n    return x\n'


def pair_score(source):
    values = knob_values(source)
    return -((values["a"][0] - 0.83) ** 2) - (values["b"][0] / 9 - 6 / 9) ** 2


def wide_score(source):
    table = np.array(knob_values(source)["table"])
    return -float(((table - [0.7, 0.8, 0.9, 0.75]) ** 2).sum())


def tuned(tuning, score, evaluations=1000, flying=1):
    """Asks and tells until it ends; returns (source, note, score) in the order of tells."""
    waiting, told = [], []
    while len(told) < evaluations:
        while len(waiting) < flying and (asked := tuning.ask()) is not None:
            waiting.append(asked)
        if not waiting:
            break
        source, _, note = waiting.pop(0)
        told.append((source, json.loads(json.dumps(note)), score(source)))
        tuning.tell(told[-1][1], told[-1][2])
    return told


@pytest.mark.parametrize("flying", [1, 6])
def test_values_are_found_and_stand_in_the_text(flying):
    tuning = Tuning(PAIR, pair_score(PAIR), 3, TuningOptions(evaluations=100))
    tuned(tuning, pair_score, flying=flying)
    text, best = tuning.best
    assert best > -0.001
    values = knob_values(text)
    assert (values["a"][0], values["b"][0]) == (pytest.approx(0.83, abs=0.03), 6)
    assert text.replace(f"{values['a'][0]}", "0.5").replace('"b", 6,', '"b", 3,') == PAIR, "only the literals changed"


def test_a_file_without_blocks_is_tuned_as_a_whole():
    tuning = Tuning(PLAIN, -0.81, 0)
    tuned(tuning, lambda source: -(knob_values(source)["x"][0] ** 2))
    assert abs(knob_values(tuning.best[0])["x"][0]) < 0.05


def test_wide_knobs_move_together_first_and_then_one_by_one():
    tuning = Tuning(WIDE, wide_score(WIDE), 1, TuningOptions(evaluations=200, shared=0.2))
    told = tuned(tuning, wide_score)
    phases = [note["phase"] for _, note, _ in told]
    assert phases == sorted(phases), "shared points come before single ones"
    assert set(phases) == {SHARED, SINGLE}
    assert phases.count(SHARED) == 40
    shared = [np.array(knob_values(source)["table"]) for source, note, _ in told if note["phase"] == SHARED]
    inside = [table for table in shared if table.min() > 0 and table.max() < 1]
    assert inside
    assert all(table - table[0] == pytest.approx([0, 0.1, 0.2, 0.1], abs=2e-3) for table in inside)
    by_phase = {phase: max(value for _, note, value in told if note["phase"] == phase) for phase in (SHARED, SINGLE)}
    assert by_phase[SINGLE] > by_phase[SHARED] > wide_score(WIDE) + 0.9
    assert all(knob_values(source)["fixed"] == (0.5,) for source, *_ in told), "it lies outside of the block"


def test_a_phase_that_stalls_ends_and_no_text_is_asked_for_twice():
    tuning = Tuning(WIDE, 1.0, 1, TuningOptions(patience=2, evaluations=10_000, shared=1.0))
    told = tuned(tuning, lambda source: 0.0)
    assert tuning.ended
    phases = [note["phase"] for _, note, _ in told]
    assert phases.count(SHARED) == 2 * 6
    assert phases.count(SINGLE) == 2 * 8
    assert len({source for source, *_ in told}) == len(told)
    assert tuning.best == (WIDE, 1.0)


def test_few_whole_numbers_are_exhausted():
    source = HEAD + 'n = knob("n", 2, low=0, high=3)\n# EVOLVE-BLOCK-END\n'
    tuning = Tuning(source, 0.0, 1, TuningOptions(sigma=0.5, patience=100))
    told = tuned(tuning, lambda source: knob_values(source)["n"][0])
    assert sorted(knob_values(text)["n"][0] for text, *_ in told) == [0, 1, 3]
    assert tuning.best[1] == 3


@pytest.mark.parametrize("stop", [3, 17, 30, 45])
def test_notes_told_again_restore_a_tuning(stop):
    options = TuningOptions(evaluations=60, shared=0.4)
    first = Tuning(WIDE, wide_score(WIDE), 9, options)
    told = tuned(first, wide_score, stop)
    again = Tuning(WIDE, wide_score(WIDE), 9, options)
    for _, note, value in told:
        again.tell(note, value)
    assert (again.best, again.phase, again.results) == (first.best, first.phase, stop)
    assert tuned(again, wide_score) == tuned(first, wide_score)


def test_failures_are_told_and_a_program_without_knobs_is_refused():
    tuning = Tuning(PAIR, pair_score(PAIR), 3, TuningOptions(evaluations=80))
    tuned(tuning, lambda source: None if knob_values(source)["a"][0] < 0.4 else pair_score(source))
    assert tuning.best[1] > -0.01
    with pytest.raises(UsageError, match="no knobs to tune"):
        Tuning("def merge(site, a):\n    return a\n", 0.0, 0)
    assert not Tunable("def broken(:\n").space.size


# --- the controller ---


class Run:
    """A controller with programs in memory; ``step`` makes one proposal as the engine would."""

    def __init__(self, sources, options=None):
        self.programs = {n: Parent(str(n), source, score) for n, (source, score) in enumerate(sources, start=1)}
        self.options = options
        self.told = []
        self.controller = self.restored()
        for number, parent in self.programs.items():
            self.tell(Told(number, "problem", {}, parent.source, parent.score, seed_name=f"s{number}"))

    def restored(self):
        controller = Controller(lambda number: self.programs[number], 4, self.options)
        for told in self.told:
            controller.tell(told)
        return controller

    def tell(self, told):
        self.told.append(told)
        self.controller.tell(told)

    def elites(self):
        return [Program(number, parent.score, {}) for number, parent in self.programs.items()]

    def step(self, tuning_score):
        number = len(self.told) + 1
        ask = self.controller.next(self.elites())
        if ask is None:
            self.tell(Told(number, "offline", {}, "s", 0.0, parent=1))
        else:
            note = json.loads(json.dumps(ask.note))
            score = tuning_score(ask.source)
            self.tell(Told(number, ask.arm, note, ask.source, score, parent=ask.parent, patch=ask.patch, archived=True))
        return ask


def test_targets_are_elites_with_knobs_best_first_each_once():
    sources = [
        (PAIR, 0.2),
        (PLAIN, 0.5),
        ("def merge(site, a):\n    return a\n", 0.9),
        (PAIR.replace("0.5", "0.6"), 0.3),
    ]
    run = Run(sources, TuningOptions(evaluations=4))
    asks = [ask for _ in range(20) if (ask := run.step(lambda source: 0.0)) is not None]
    assert [ask.parent for ask in asks] == [2] * 4 + [4] * 4 + [1] * 4
    assert {ask.arm for ask in asks} == {"tuning"}
    assert asks[0].description.startswith("tune x 0.9 -> ")
    assert knob_values(asks[0].source)["x"] != (0.9,)


def test_a_tuned_child_is_no_target():
    run = Run([(PAIR, 0.2)], TuningOptions(evaluations=3))
    for _ in range(10):
        ask = run.step(lambda source: 0.9)
        if ask is not None:
            assert ask.parent == 1
            run.programs[len(run.told)] = Parent(str(len(run.told)), ask.source, 0.9)


@pytest.mark.parametrize("steps", [5, 14, 25])
def test_telling_everything_again_restores_the_controller(steps):
    run = Run([(PAIR, pair_score(PAIR)), (PLAIN, -2.0)], TuningOptions(evaluations=12))
    for _ in range(steps):
        run.step(lambda source: pair_score(source) if 'knob("a"' in source else -1.0)
    again = run.restored()
    for _ in range(5):
        asks = [c.next(run.elites()) for c in (run.controller, again)]
        assert asks[0] == asks[1]


def test_a_phase_that_ended_for_want_of_new_points_has_ended_after_a_resume_too():
    source = 'a = knob("a", [1, 1], low=0, high=4)\n'
    options = TuningOptions(patience=100, shared=1.0)
    tuning, told = Tuning(source, 0.0, 0, options), []
    while not told or told[-1]["phase"] == "shared":
        _, _, note = tuning.ask()
        tuning.tell(note, -1.0)
        told.append(note)
    assert len(told) <= 5, "five shared points, one of them the start"
    again = Tuning(source, 0.0, 0, options)
    for note in told:
        again.tell(note, -1.0)
    assert again.phase == tuning.phase == "single"
    assert again.ask() is not None
