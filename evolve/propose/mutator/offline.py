"""The offline mutator as a proposer."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from functools import lru_cache

import libcst as cst
import numpy as np

from evolve.errors import PatchError
from evolve.propose.base import Patch, Proposal, ProposalRequest
from evolve.propose.blocks import Block, find_blocks, replace_blocks
from evolve.propose.mutator.draft import Draft, make_scope
from evolve.propose.mutator.registry import Operator, operators_for
from evolve.propose.mutator.surrogate import landscape

ATTEMPTS = 12
SCREENED = 6
SCREENING_SHARE = 0.8
"""Share of proposals that are the best of SCREENED children in the eyes of the surrogate, not the first."""

MAX_LINES = 140
MAX_COORDINATES = 64


class OfflineMutator:
    """Proposes by editing the parent's syntax tree; needs no key and no network."""

    name = "offline"
    patches: tuple[Patch, ...] = ("diff", "cross")

    async def propose(self, request: ProposalRequest) -> Proposal:
        """A mutated child; raises PatchError when the parent cannot be parsed or no operator applies."""
        return await asyncio.to_thread(mutate, request)


def mutate(request: ProposalRequest) -> Proposal:
    """One mutation of ``request.parent``, decided by ``request.seed`` alone."""
    rng = request.generator()
    request = _with_sound_parent(request)
    source = request.parent.source
    blocks = find_blocks(source)
    trees = {index: tree for index, block in enumerate(blocks) if (tree := parse_block(block.text(source))) is not None}
    if not trees:
        raise PatchError("the offline mutator cannot parse the parent's EVOLVE-BLOCK; it is not valid Python")
    index = _choose_block(trees, request, rng)
    draft = Draft(trees[index], make_scope(source, blocks[index], request))
    children: list[Proposal] = []
    wanted = SCREENED if rng.random() < SCREENING_SHARE else 1
    for _ in range(ATTEMPTS + wanted):
        found = _mutated(draft, rng)
        if found is None:
            continue
        changed, text, operator = found
        child = replace_blocks(source, [_text(i, index, block, source, changed) for i, block in enumerate(blocks)])
        if child != source and compiles(child):
            children.append(Proposal(child, text, "cross" if operator.crosses else "diff", OfflineMutator.name))
        if len(children) >= wanted:
            break
    if not children:
        raise PatchError(f"no operator of the offline mutator changes program {request.parent.id}")
    return _screened(children, request, draft, rng)


def _screened(children: list[Proposal], request: ProposalRequest, draft: Draft, rng: np.random.Generator) -> Proposal:
    """The child that the scores of other programs speak for; the first where there are too few of them."""
    ground = landscape(request, draft) if len(children) > 1 else None
    return children[ground.best([child.source for child in children], rng) if ground is not None else 0]


def _with_sound_parent(request: ProposalRequest) -> ProposalRequest:
    """The request with a scored program as parent where the parent failed: an edit of a broken program stays broken."""
    if request.parent.error is None:
        return request
    scored = [p for p in (request.mate, *request.inspirations, *request.relatives) if p is not None and p.error is None]
    if not scored:
        return request
    return replace(request, parent=max(scored, key=lambda parent: (parent.score or 0.0, parent.id)))


def _choose_block(trees: dict[int, cst.Module], request: ProposalRequest, rng: np.random.Generator) -> int:
    """The block that defines ``merge``, else one in proportion to its length."""
    if request.kind == "merge":
        for index, tree in trees.items():
            if any(isinstance(item, cst.FunctionDef) and item.name.value == "merge" for item in tree.body):
                return index
    sizes = np.array([1.0 + len(tree.code) for tree in trees.values()])
    return int(rng.choice(list(trees), p=sizes / sizes.sum()))


def _mutated(draft: Draft, rng: np.random.Generator) -> tuple[Draft, str, Operator] | None:
    """The first operator that applies, drawn by weight without repetition, and whose child is not too large."""
    operators = operators_for(draft)
    while operators:
        weights = np.array([weight for _, weight in operators])
        operator, _ = operators.pop(int(rng.choice(len(operators), p=weights / weights.sum())))
        edit = operator.apply(draft, rng)
        if edit is not None and edit[1] and (not operator.grows or _fits(edit[0], draft)):
            return edit[0], edit[1], operator
    return None


def _fits(changed: Draft, parent: Draft) -> bool:
    """Whether a grown block stays within the limits, or is no larger than its parent."""
    lines, before = changed.code.count("\n"), parent.code.count("\n")
    return lines <= max(MAX_LINES, before) and changed.size <= max(MAX_COORDINATES, parent.size)


@lru_cache(maxsize=256)
def parse_block(text: str) -> cst.Module | None:
    """The tree of a block's text, None where it is not valid on its own."""
    try:
        return cst.parse_module(text)
    except (cst.ParserSyntaxError, RecursionError, ValueError):
        return None


def compiles(source: str) -> bool:
    """Whether a whole program is valid Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(source, "<program>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _text(index: int, changed_index: int, block: Block, source: str, changed: Draft) -> str:
    return changed.code if index == changed_index else block.text(source)
