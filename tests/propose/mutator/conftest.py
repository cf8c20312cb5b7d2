from __future__ import annotations

from collections.abc import Callable

import libcst as cst
import pytest

from evolve.propose.base import Parent, ProposalRequest
from evolve.propose.blocks import find_blocks
from evolve.propose.mutator.draft import Draft, make_scope

HEAD = "from evolve.recipe import knob\nfrom evolve.methods import linear, slerp, task_arithmetic, ties\n"
SITES = {
    "donors": ("base", "ja", "math"),
    "roles": ("embed", "q_proj", "up_proj", "input_norm", "head"),
    "blocks": ("embedding", "attention", "mlp", "norm", "head"),
    "layers": 4,
}


@pytest.fixture
def request_of() -> Callable[..., ProposalRequest]:
    """``request_of(source, seed, **fields)`` for a merge problem with three donors."""

    def make(source: str, seed: int = 0, score: float | None = 0.5, **fields: object) -> ProposalRequest:
        return ProposalRequest(Parent("1", source, score), seed, **{**SITES, **fields})

    return make


@pytest.fixture
def draft_of(request_of) -> Callable[..., Draft]:
    """``draft_of(block text)``: the draft of a recipe whose block holds this text."""

    def make(text: str, head: str = HEAD, **fields: object) -> Draft:
        source = f"{head}# EVOLVE-BLOCK-START\n{text}# EVOLVE-BLOCK-END\n"
        scope = make_scope(source, find_blocks(source)[0], request_of(source, **fields))
        return Draft(cst.parse_module(text), scope)

    return make
