"""The survey at the start of a merge: random profiles of every expert over the depth of the model.

Seeds and small edits see a landscape from one side: a recipe that once lost a donor, or started where all sites are
treated alike, may never come to another basin. A few programs spread over all of it tell the learned steps where to go.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from evolve.errors import PatchError
from evolve.propose.base import Patch, Proposal, ProposalRequest
from evolve.propose.blocks import find_blocks, replace_blocks
from evolve.propose.mutator.draft import make_scope
from evolve.propose.mutator.schedule import AT_PLACE, MAX_ANCHORS
from evolve.propose.mutator.weights import NewKnob

NAME = "survey"
LOW, HIGH = -0.5, 1.5
LEVELS = (-0.1, 1.2)
"""Between these the two ends of a profile are drawn; knobs may go further."""

ROUGHNESS = 0.15
BARE_NORMS = 0.3
"""How often norms stay those of the base."""


class Survey:
    """Proposes recipes that join all experts with amounts of their own in every place; needs a donor called base."""

    name = NAME
    patches: tuple[Patch, ...] = ("full",)

    async def propose(self, request: ProposalRequest) -> Proposal:
        """A recipe in the frame of the parent's file, decided by ``request.seed``. Raises PatchError without a base."""
        experts = [donor for donor in request.donors if donor != "base"]
        if "base" not in request.donors or not experts:
            raise PatchError("a survey needs a donor called base and at least one expert")
        rng = request.generator()
        blocks = find_blocks(request.parent.source)
        bare = "norm" in request.blocks and rng.random() < BARE_NORMS
        tables = [_table(expert, min(request.layers, MAX_ANCHORS), rng) for expert in experts]
        imported = make_scope(request.parent.source, blocks[0], request).imported
        texts = [_recipe(experts, tables, bare, imported), *("" for _ in blocks[1:])]
        source = replace_blocks(request.parent.source, texts)
        return Proposal(source, f"survey of {', '.join(experts)}{', norms of base' if bare else ''}", "full", NAME)


def _table(expert: str, layers: int, rng: np.random.Generator) -> NewKnob:
    """A profile over embedding, layers and head: linear between two random ends, a little rough."""
    first, last = rng.uniform(*LEVELS, size=2)
    line = np.linspace(first, last, layers + 2) + ROUGHNESS * rng.standard_normal(layers + 2)
    return NewKnob(f"{expert}_weight_by_layer", np.clip(line, LOW, HIGH).round(3).tolist(), LOW, HIGH, wide=True)


def _recipe(experts: list[str], tables: list[NewKnob], bare: bool, imported: Collection[str]) -> str:
    pairs = (("evolve.methods", "task_arithmetic"), ("evolve.recipe", "knob"))
    imports = "".join(f"from {module} import {name}\n" for module, name in pairs if name not in imported)
    weights = [f"{expert}_weight" for expert in experts]
    lines = [
        f"def merge(site, base, {', '.join(experts)}):",
        '    """The base and an amount of every expert that depends on the place."""',
        *(['    if site.block == "norm":', "        return base"] if bare else []),
        *(f"    {weight} = at_place({table.name}, site)" for weight, table in zip(weights, tables, strict=True)),
        f"    return task_arithmetic(base, [{', '.join(experts)}], [{', '.join(weights)}])",
    ]
    parts = [*([imports] if imports else []), "".join(table.text for table in tables)]
    return "\n".join(parts) + "\n\n" + AT_PLACE + "\n\n" + "\n".join(lines) + "\n"
