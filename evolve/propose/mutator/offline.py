"""The offline mutator as a proposer."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from functools import lru_cache

import libcst as cst
import numpy as np

from evolve.config import nearest
from evolve.errors import PatchError, UsageError
from evolve.propose.base import Patch, Proposal, ProposalRequest
from evolve.propose.blocks import find_blocks, replace_blocks
from evolve.propose.mutator.draft import Draft, make_scope
from evolve.propose.mutator.perturb import perturb_knobs
from evolve.propose.mutator.registry import GROUPS, Operator, operators_for
from evolve.propose.mutator.surrogate import Landscape, landscape, learned_step

NAME = "offline"
ATTEMPTS = 12
SCREENED = 4
SCREENING_SHARE = 0.8
"""Share of proposals that are the best of SCREENED children in the eyes of the surrogate, not the first."""

LEARNED_SHARE = 0.75
"""Share of new structures whose first numbers come from the surrogate, not from chance."""

MAX_LINES = 140
MAX_COORDINATES = 64


class OfflineMutator:
    """Proposes by editing the parent's syntax tree; needs no key and no network.

    ``group`` limits it to one group of operators (see ``registry.GROUPS``), so that groups can compete as proposers.
    """

    patches: tuple[Patch, ...] = ("diff", "cross")

    def __init__(self, group: str | None = None) -> None:
        if group not in (None, *GROUPS):
            raise UsageError(f"the offline mutator has no group {group!r}; {nearest(str(group), GROUPS)}")
        self._group = group
        self.name = f"{NAME}/{group}" if group else NAME

    async def propose(self, request: ProposalRequest) -> Proposal:
        """A mutated child; raises PatchError when the parent cannot be parsed or no operator applies."""
        return replace(await asyncio.to_thread(mutate, request, self._group), proposer=self.name)


def mutate(request: ProposalRequest, group: str | None = None) -> Proposal:
    """One mutation of ``request.parent``, decided by ``request.seed`` and the group of operators alone."""
    rng = request.generator()
    request = _with_sound_parent(request)
    source = request.parent.source
    blocks = find_blocks(source)
    trees = {index: tree for index, block in enumerate(blocks) if (tree := parse_block(block.text(source))) is not None}
    if not trees:
        raise PatchError("the offline mutator cannot parse the parent's EVOLVE-BLOCK; it is not valid Python")
    index = _choose_block(trees, request, rng)
    draft = Draft(trees[index], make_scope(source, blocks[index], request))
    ground = landscape(request, draft.scope.pool)
    children: list[Proposal] = []
    wanted = SCREENED if ground is not None and rng.random() < SCREENING_SHARE else 1
    for _ in range(ATTEMPTS + wanted):
        found = _mutated(draft, ground, rng, group)
        if found is None:
            continue
        changed, text, operator = found
        texts = [changed.code if i == index else block.text(source) for i, block in enumerate(blocks)]
        child = replace_blocks(source, texts)
        if child != source and compiles(child):
            children.append(Proposal(child, text, "cross" if operator.crosses else "diff", NAME))
        if len(children) >= wanted:
            break
    if not children:
        raise PatchError(f"no operator of the offline mutator changes program {request.parent.id}")
    return children[ground.choose([child.source for child in children], rng) if ground is not None else 0]


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


def _mutated(
    draft: Draft, ground: Landscape | None, rng: np.random.Generator, group: str | None
) -> tuple[Draft, str, Operator] | None:
    """The first operator that applies, drawn by weight without repetition, and whose child is not too large."""
    operators = operators_for(draft, group)
    while operators:
        weights = np.array([weight for _, weight in operators])
        operator, _ = operators.pop(int(rng.choice(len(operators), p=weights / weights.sum())))
        edit = operator.apply(draft, rng) if operator.apply is not None else learned_step(draft, ground, rng)
        if edit is None or not edit[1] or (operator.grows and not _fits(edit[0], draft)):
            continue
        changed = edit[0] if operator.moves else _stepped(edit[0], ground, rng)
        return changed, edit[1], operator
    return None


def _stepped(draft: Draft, ground: Landscape | None, rng: np.random.Generator) -> Draft:
    """The draft after a step of its knobs: a new structure alone computes what its parent computed."""
    edit = learned_step(draft, ground, rng) if ground is not None and rng.random() < LEARNED_SHARE else None
    edit = edit or perturb_knobs(draft, rng)
    return edit[0] if edit is not None else draft


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
