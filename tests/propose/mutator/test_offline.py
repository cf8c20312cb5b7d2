from __future__ import annotations

import ast
import asyncio
import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolve.errors import PatchError, RecipeError, UsageError
from evolve.propose.base import Failure, Parent
from evolve.propose.blocks import outside
from evolve.propose.ensemble import Ensemble
from evolve.propose.mutator.literals import knob_values
from evolve.propose.mutator.offline import MAX_COORDINATES, OfflineMutator, mutate
from evolve.propose.mutator.registry import GROUPS
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

SHAPES = {"embed": (8, 4), "q_proj": (4, 4), "up_proj": (8, 4), "input_norm": (4,), "head": (8, 4)}
BLOCKS = {"embed": "embedding", "q_proj": "attention", "up_proj": "mlp", "input_norm": "norm", "head": "head"}


def sites():
    inner = [(role, layer) for layer in range(4) for role in ("q_proj", "up_proj", "input_norm")]
    places = [("embed", None), *inner, ("head", None)]
    for role, layer in places:
        depth = layer / 3 if layer is not None else float(role == "head")
        yield Site(f"{layer}.{role}", layer, depth, role, BLOCKS[role], SHAPES[role])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**63 - 1), crlf=st.booleans())
def test_only_the_block_changes_and_the_seed_decides(seed, crlf, recipe, request_of):
    source = recipe.replace("\n", "\r\n") if crlf else recipe
    mate = Parent("2", recipe.replace("0.5", "0.8"), 0.6)
    request = request_of(source, seed, mate=mate)
    child = mutate(request)
    assert child == mutate(request), "the same seed gives the same child"
    assert child.source != source and outside(child.source) == outside(source)
    ast.parse(child.source)
    assert child.description and "\n" not in child.description and child.patch in ("diff", "cross")


def test_generations_of_children_can_be_traced(recipe, request_of):
    """A random walk: nearly every child must be a valid recipe, none may outgrow the limits."""
    rng = np.random.default_rng(0)
    donors = {name: DonorInfo(layers=4) for name in ("base", "ja", "math")}
    places = list(sites())
    lone = recipe.replace("return task_arithmetic(base, [ja, math], [ja_weight, math_weight])", "return ja")
    pool = [Parent("0", recipe, 0.4), Parent("1", lone, 0.2)]
    failed = 0
    for number in range(40):
        parent = pool[int(rng.integers(max(0, len(pool) - 12), len(pool)))]
        mate = pool[int(rng.integers(len(pool)))] if number % 4 == 0 else None
        request = request_of(parent.source, number, parent.score, mate=mate, relatives=tuple(pool[-30:]))
        child = mutate(request)
        try:
            trace(child.source, places, donors)
        except RecipeError:
            failed += 1
            continue
        assert sum(len(values) for values in knob_values(child.source).values()) <= MAX_COORDINATES
        assert child.source.count("\n") < 170
        pool.append(Parent(str(number), child.source, float(rng.random())))
    assert failed <= 2


def test_it_climbs(recipe, request_of):
    """On a smooth score with noise, eighty evaluations get beyond what one weight per donor can reach."""
    from evolve.propose.mutator.effect import effects_for

    request = request_of(recipe)
    effects = effects_for(request.donors, request.roles, request.layers)
    goal = effects.of(recipe.replace("[ja_weight, math_weight]", "[0.2 + 0.8 * site.depth, 0.9 - 0.8 * site.depth]"))
    noise = np.random.default_rng(1)

    def score(source):
        effect = effects.of(source)
        return float(np.exp(-6 * ((effect - goal) ** 2).sum()))

    pool = [Parent("0", recipe, score(recipe))]
    for number in range(80):
        ranked = sorted(pool, key=lambda parent: -parent.score)
        parent = ranked[int(min(noise.exponential(2), len(ranked) - 1))]
        child = mutate(dataclasses.replace(request, parent=parent, seed=number, relatives=tuple(ranked[:40])))
        pool.append(Parent(str(number + 1), child.source, score(child.source) + 0.01 * noise.standard_normal()))
    best = max(pool, key=lambda parent: parent.score)
    constant = max(
        score(recipe.replace("0.5,", f"{a},").replace("0.3,", f"{b},"))
        for a in (0.5, 0.6, 0.7)
        for b in (0.4, 0.5, 0.6)
    )
    assert score(best.source) > constant + 0.3 * (1 - constant)


def test_programs_are_edited_too(program):
    from evolve.propose.base import ProposalRequest

    children = {mutate(ProposalRequest(Parent("1", program, 1.0), seed, kind="program")).source for seed in range(30)}
    assert len(children) > 10
    for child in children:
        assert outside(child) == outside(program)
        names = {}
        exec(compile(child, "<child>", "exec"), names)
        assert callable(names["place"])


def test_a_failed_parent_gives_way_to_a_scored_program(recipe, request_of):
    broken = Parent("9", recipe.replace("return", "retur"), error=Failure("syntax", "invalid syntax", 14))
    request = dataclasses.replace(request_of(recipe), parent=broken)
    with pytest.raises(PatchError, match="cannot parse"):
        mutate(request)
    child = mutate(dataclasses.replace(request, inspirations=(Parent("1", recipe, 0.5),)))
    ast.parse(child.source)


def test_a_program_without_blocks(request_of):
    with pytest.raises(PatchError, match="no EVOLVE-BLOCK"):
        mutate(request_of("def merge(site, ja):\n    return ja\n"))


def test_nothing_to_change(request_of):
    with pytest.raises(PatchError, match="no operator"):
        mutate(request_of("# EVOLVE-BLOCK-START\npass\n# EVOLVE-BLOCK-END\n", kind="program"))


def test_as_a_proposer(recipe, request_of):
    mutator = OfflineMutator()
    proposal = asyncio.run(mutator.propose(request_of(recipe, 5)))
    assert proposal == mutate(request_of(recipe, 5)) and proposal.proposer == mutator.name == "offline"
    assert proposal.calls == ()


def test_a_crossing_that_is_asked_for(recipe, request_of):
    mate = Parent("2", recipe.replace("0.5,", "0.9,").replace("0.3,", "0.1,"), 0.6)
    patches = [mutate(request_of(recipe, seed, mate=mate, patch="cross")).patch for seed in range(12)]
    assert patches == ["cross"] * 12


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_of_operators_is_a_proposer_of_its_own(recipe, request_of, group):
    mate = Parent("2", recipe.replace("0.5", "0.25", 1), 0.4)
    ensemble = Ensemble.parse(f"offline/{group}")
    assert ensemble.offline_only and ensemble.names == (f"offline/{group}",)
    for seed in range(8):
        request = dataclasses.replace(request_of(recipe, seed), mate=mate)
        child = asyncio.run(ensemble[f"offline/{group}"].propose(request))
        assert child.proposer == f"offline/{group}"
        assert (child.patch == "cross") == (group == "crossing")


def test_an_unknown_group_names_the_nearest():
    with pytest.raises(UsageError, match=r"no group 'number'; did you mean 'numbers'"):
        Ensemble.parse("offline/number")
