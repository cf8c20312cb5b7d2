"""Variants of a recipe without a part of it: what they compute, when they are asked for, what is read back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from evolve.config import EvaluationConfig, RunConfig
from evolve.evaluation import Evaluation
from evolve.loop.ablation import PLACES, Ablation, Part, importance, without
from evolve.recipe.eager import eager, eager_totals
from evolve.recipe.trace import DonorInfo, trace
from evolve.search.archive import Archive, Program
from evolve.search.digest import source_digest
from evolve.site import Site
from evolve.store import queries
from evolve.store.database import Database
from evolve.store.records import ProposalRequest, RunRecord

SITES = [Site(f"q{n}", n, n / 5, "q_proj", "attention", (2, 2)) for n in range(6)]
SITES += [Site("up0", 0, 0.0, "up_proj", "mlp", (2, 2)), Site("embed", None, 0.0, "embed", "embedding", (2, 2))]
DONORS = {name: torch.full((2, 2), value) for name, value in (("base", 1.0), ("ja", 3.0), ("math", 9.0))}
SUM = "def merge(site, base, ja, math):\n    return base + 0.5 * (ja - base) + 0.25 * (math - base)\n"
NO_BASE = "def merge(site, math, *, ja):\n    return 0.5 * ja + 0.5 * math\n"
EVERYTHING = "def merge(site, **donors):\n    return sum(donors.values()) / len(donors)\n"
TOTALS = """
def gather(site, base, math):
    return {"size": ((math - base) ** 2).sum()}


def merge(site, base, ja, math, totals):
    return base + 0.5 * (ja - base) + (math - base) / (1 + totals["size"])
"""


def merged(source: str) -> dict[str, float]:
    """The value of each site's tensor; every variant must be traceable as well."""
    trace(source, SITES, {name: DonorInfo(6) for name in DONORS})
    totals = eager_totals(source, SITES, lambda name: DONORS) if "gather" in source else None
    given = {"totals": totals} if totals is not None else {}
    return {site.name: float(eager(source, site, DONORS, **given)[0, 0]) for site in SITES}


def test_a_donor_is_left_out_everywhere() -> None:
    assert set(merged(SUM).values()) == {4.0}
    assert set(merged(without(SUM, Part("math"))).values()) == {2.0}
    assert set(merged(without(SUM, Part("ja"))).values()) == {3.0}


def test_a_donor_is_left_out_in_a_place_only() -> None:
    changed = {
        place: {name for name, value in merged(without(SUM, Part("math", place))).items() if value == 2.0}
        for place in PLACES
        if place
    }
    assert changed == {
        "the lower third": {"q0", "q1", "up0"},
        "the middle third": {"q2", "q3"},
        "the top third": {"q4", "q5"},
        "attention": {f"q{n}" for n in range(6)},
        "mlp": {"up0"},
    }


@pytest.mark.parametrize(("source", "whole", "left"), [(NO_BASE, 6.0, 2.0), (EVERYTHING, 13 / 3, 5 / 3)])
def test_signatures_of_every_kind_are_wrapped(source: str, whole: float, left: float) -> None:
    assert merged(source)["q0"] == pytest.approx(whole)
    assert merged(without(source, Part("math")))["q0"] == pytest.approx(left)
    assert merged(without(source, Part("math", "mlp")))["q0"] == pytest.approx(whole)


def test_gathered_totals_miss_the_part_too() -> None:
    assert merged(TOTALS)["q0"] == pytest.approx(2 + 8 / (1 + 8 * 4 * 64))
    assert merged(without(TOTALS, Part("ja")))["q0"] == pytest.approx(1 + 8 / (1 + 8 * 4 * 64))
    half = merged(without(TOTALS, Part("math", "attention")))
    assert half["up0"] == pytest.approx(2 + 8 / (1 + 2 * 4 * 64))
    assert half["q0"] == pytest.approx(2.0)


# --- when they are asked for ---


class Run:
    """A run's database and archive with one elite, number 1."""

    def __init__(self, folder, every=4):
        self.database = Database.create(folder, RunRecord("r", "p", "tiny", {}, {}, 0, "0.1"))
        self.archive = Archive([])
        self.every = every
        self.score(self.begin(ProposalRequest(0, 0, "seed", "problem"), SUM), (1.0,) * 40 + (0.0,) * 10)

    def begin(self, request, source):
        number = self.database.begin_proposal(request)
        self.database.set_source(number, source, source_digest(source))
        traced = trace(source, SITES, {name: DonorInfo(6) for name in DONORS}).plan
        assert self.database.set_traced(number, json.dumps(traced.to_dict()), traced.digest) is None
        return number

    def score(self, number, outcomes):
        score = sum(outcomes) / len(outcomes)
        self.database.set_state(number, "evaluating")
        self.database.add_evaluation(number, Evaluation(score, {}, {}, tuple(outcomes), ""))
        if self.database.program(number).patch != "ablation":
            self.archive.add(Program(number, score, {}))

    def opened(self, client=None, kind="merge"):
        config = RunConfig(evaluation=EvaluationConfig(ablate_every=self.every))
        parts = SimpleNamespace(
            database=self.database, archive=self.archive, config=config, ensemble=SimpleNamespace(client=client),
            problem=SimpleNamespace(kind=kind), donor_layers=dict.fromkeys(DONORS, 6),
        )  # fmt: skip
        return Ablation(parts)

    def start(self, ask):
        request = ProposalRequest(
            ask.island, 1, ask.patch, ask.arm, ask.parent, description=ask.description, note=ask.note
        )
        return self.begin(request, ask.source)

    def answer(self, ask, outcomes):
        self.score(self.start(ask), outcomes)


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "r")
    yield made
    made.database.close()


def test_donors_first_then_the_places_of_the_most_important_one(run) -> None:
    ablation = run.opened()
    assert ablation.ask(3) is None
    first = [ablation.ask(4), ablation.ask(4)]
    assert [ask.description for ask in first] == ["without ja", "without math"]
    assert {(ask.arm, ask.patch, ask.parent) for ask in first} == {("ablation", "ablation", 1)}
    numbers = [run.start(ask) for ask in first]
    run.score(numbers[0], (1.0,) * 38 + (0.0,) * 12)
    assert ablation.ask(5) is None, "the second round waits for the whole first one"
    run.score(numbers[1], (1.0,) * 5 + (0.0,) * 45)
    second = [ablation.ask(6) for _ in range(6)]
    assert [ask and ask.description for ask in second] == [
        *(f"without math in {place}" for place in PLACES if place),
        None,
    ]
    assert ablation.ask(99) is None, "the same program is measured once"


def test_a_new_best_program_is_measured_at_the_next_turn(run) -> None:
    ablation = run.opened()
    for score in (0.2, 0.3):
        run.answer(ablation.ask(4), (score, score))
    while ablation.ask(6) is not None:
        pass
    better = run.begin(ProposalRequest(0, 1, "diff", "offline", 1), SUM.replace("0.5", "0.6"))
    run.score(better, (1.0,) * 50)
    assert ablation.ask(7) is None
    assert ablation.ask(8).parent == better


def test_a_resumed_run_goes_on_with_the_second_round(run) -> None:
    ablation = run.opened()
    for score in (0.2, 0.3):
        run.answer(ablation.ask(4), (score, score))
    again = run.opened()
    assert again.ask(6).description == "without ja in the lower third"


def test_it_is_off_without_a_language_model_unless_asked_for_and_for_other_problems(run) -> None:
    assert run.opened(kind="program").ask(1000) is None
    run.every = -1
    assert run.opened().ask(1000) is None
    assert run.opened(client=object()).ask(59) is None
    assert run.opened(client=object()).ask(60).description == "without ja"
    run.every = 0
    assert run.opened(client=object()).ask(1000) is None


# --- what is read back ---


def test_importance_names_the_most_important_part_first_with_intervals_and_items(run) -> None:
    assert importance(run.database.connection, 1) == ()
    ablation = run.opened()
    run.answer(ablation.ask(4), (1.0,) * 38 + (0.0,) * 11 + (1.0,))
    run.answer(ablation.ask(4), (1.0,) * 5 + (0.0,) * 45)
    worst, mild = importance(run.database.connection, 1)
    assert worst.startswith("without math: -0.700 [-0.8")
    assert worst.endswith("(35 items lost, 0 won)")
    assert mild.startswith("without ja: -0.020 [")
    assert mild.endswith("(2 items lost, 1 won)")
    with queries.reading(run.database.folder) as connection:
        assert importance(connection, 1) == (worst, mild)
    child = run.begin(ProposalRequest(0, 1, "diff", "offline", 1), SUM.replace("0.5", "0.6"))
    assert importance(run.database.connection, child)[0] == "ancestor #1 " + worst


def test_importance_is_weighed_as_the_score_is(run) -> None:
    places = [0] * 40 + [1] * 10
    run.database.add_event(
        "tasks", {"split": "search", "names": ["a", "b"], "tasks": places, "weights": {"a": 1.0, "b": 3.0}}
    )
    ablation = run.opened()
    before = queries.outcomes(run.database.connection, 1)
    run.answer(ablation.ask(4), (0.0,) * 50)
    (line,) = importance(run.database.connection, 1)
    weighed = -(0.25 * sum(before[:40]) / 40 + 0.75 * sum(before[40:]) / 10)
    assert weighed != pytest.approx(-sum(before) / 50)
    assert f": {weighed:+.3f} [" in line
