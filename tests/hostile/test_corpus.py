"""Every program of the corpus goes the way that runs take; it is contained and classified, and the canaries live on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from evolve.cli.new import SCAFFOLDS
from evolve.errors import CandidateError, EvolveError
from evolve.evaluate.candidate import ProgramCandidate
from evolve.evaluate.evaluator import Evaluator
from evolve.loop.lifecycle import trace
from evolve.sandbox import Sandbox, SandboxLimits
from evolve.sandbox.program import ENTRY, PRELOAD
from evolve.site import Site

ENDLESS_S, PATIENT_S = 0.3, 30.0
"""Seconds for programs that must be stopped, and for all others: on a busy machine none of those may be."""
LIMITS = SandboxLimits(wall_s=PATIENT_S, cpu_s=60, memory_bytes=256 * 2**20)
SITES = [
    Site("model.embed_tokens.weight", None, None, "embed", "embed", (8, 4), "matrix"),
    Site("model.layers.0.mlp.up_proj.weight", 0, 0.0, "up_proj", "mlp", (6, 4), "matrix"),
    Site("model.norm.weight", None, None, "norm", "norm", (4,), "vector"),
]
WEAPONS = ("asyncio", "concurrent.futures.process", "multiprocessing.popen_fork", "multiprocessing.shared_memory",
           "pickle", "subprocess", "urllib.request")  # fmt: skip
"""Modules that some programs need; where the interpreter lies in a private folder, they could not import them."""
HEAD = "import torch\n\nfrom evolve.recipe import knob\n\n"


@pytest.fixture(scope="module")
def programs():
    """The sandbox of ordinary programs, with an evaluator that judges them."""
    with Sandbox(ENTRY, (*PRELOAD, *WEAPONS), LIMITS) as sandbox:
        assert sandbox.level.name != "none", "these tests are only safe where programs are contained"
        yield sandbox


@pytest.fixture(scope="module")
def judge():
    return Evaluator(SCAFFOLDS / "program" / "evaluate.py")


@pytest.fixture(scope="module")
def recipes():
    """The sandbox in which recipes are traced."""
    with Sandbox("evolve.recipe.trace:serve", ("torch", "evolve.methods"), LIMITS) as sandbox:
        assert sandbox.level.name != "none", "these tests are only safe where programs are contained"
        yield sandbox


def limits_for(expectation):
    endless = "timeout" in expectation.reasons
    return replace(LIMITS, wall_s=ENDLESS_S if endless else PATIENT_S)


def outcome_of(corpus, act):
    """What ``act`` returns (a score, or None) or raises, as the database would record it."""
    try:
        return corpus.Outcome("scored", score=act())
    except EvolveError as error:
        kind = error.kind if isinstance(error, CandidateError) else type(error).__name__
        return corpus.Outcome("failed", error.reason, kind, str(error))


def evaluated(corpus, judge, sandbox, source):
    candidate = ProgramCandidate(source, [], "search", {}, sandbox)
    try:
        return outcome_of(corpus, lambda: judge.evaluate(candidate).score)
    finally:
        candidate.close()


def well(outcome, sandbox, canaries, children_of):
    """Nothing is left of a program but its outcome, which is one clean line."""
    assert outcome.message.isprintable(), outcome.message
    assert len(outcome.message) <= 1000
    assert canaries.disturbed() == []
    assert children_of(sandbox._server.pid) == []


def test_programs_are_contained_and_classified(hostile_program, programs, judge, canaries, corpus, children_of):
    expected = hostile_program.expected
    source = hostile_program.block(canaries.places)
    programs.limits = limits_for(expected)
    server = programs._server.pid
    found = evaluated(corpus, judge, programs, source)
    assert expected.fits(found), found
    well(found, programs, canaries, children_of)
    if hostile_program.again is not None:
        second = evaluated(corpus, judge, programs, source)
        if hostile_program.again == "same":
            assert second == found
        else:
            assert corpus.Expectation.parse(hostile_program.again).fits(second), second
        well(second, programs, canaries, children_of)
    assert programs._server.pid == server, "the server had to be started anew"


def test_recipes_are_contained_and_classified(hostile_recipe, recipes, canaries, corpus, children_of):
    expected = hostile_recipe.expected
    recipes.limits = limits_for(expected)
    server = recipes._server.pid
    infos = {name: {"layers": 1, "statistics": []} for name in ("base", "first", "second")}
    parts = SimpleNamespace(
        sandbox=recipes, sites=SITES, donor_infos=infos, donor_layers=dict.fromkeys(infos, 1),
        tracing=asyncio.Semaphore(1),
    )  # fmt: skip
    source = HEAD + hostile_recipe.block(canaries.places)
    found = outcome_of(corpus, lambda: asyncio.run(trace(parts, source)) and None)
    assert expected.fits(found), found
    well(found, recipes, canaries, children_of)
    assert recipes._server.pid == server, "the server had to be started anew"


def test_the_corpus_is_large_and_each_program_says_what_it_expects(corpus):
    found = corpus.corpus("program") + corpus.corpus("merge")
    assert len(found) >= 150
    for one in found:
        assert one.expected.states <= {"scored", "failed"}, one.name
        assert one.text.isascii() or one.name == "speaking/raw_escape_codes"
        assert "# " in one.text.split("# expect:")[0], f"{one.name} does not say what it tries"
