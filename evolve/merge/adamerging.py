"""AdaMerging: merging coefficients learned without labels (Yang et al., arXiv 2310.02575), one per donor and parameter.

merged = base + sum_i lambda_i (donor_i - base), where every parameter has its own lambda_i. Adam minimises the entropy
of the merged model's predictions on texts. The paper classifies images; here a prediction is the distribution of the
next token, and the mean is over all positions of the texts of a batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from evolve.donor_statistics import AdaMergingSpec
from evolve.donors.donor_model import bare_model
from evolve.donors.donors import Donors
from evolve.donors.texts import Tokens
from evolve.merge.gradient import Objective, slot_gradient
from evolve.plan.plan import Node, Plan, SitePlan, Template
from evolve.site import Site


def learned_coefficients(
    donors: Donors,
    texts: Sequence[Tokens],
    spec: AdaMergingSpec,
    device: str | torch.device,
    progress: Callable[[int, int], None],
) -> dict[str, dict[str, Tensor]]:
    """Donor to site name to coefficient (0-dim float32), for all donors but the reference, which is the base.

    The same seed gives the same coefficients on one machine. Needs four times the model in float32 (weights, merge,
    gradient, activations) and a merge, a forward and a backward pass for each step. ``progress`` gets steps done and
    in all.
    """
    base = donors.reference.name
    others = [name for name in donors if name != base]
    values = torch.full((len(donors.sites), len(others)), spec.init, dtype=torch.float64)
    model = bare_model(donors.reference.config, device)
    adam = torch.optim.Adam([values], lr=spec.rate)
    for step, batch in enumerate(_batches(texts, spec), 1):
        plan = task_arithmetic_plan(donors.sites, base, others, values.tolist())
        ids, seen = padded(batch, torch.device(device))
        found = slot_gradient(plan, Objective(donors.tensors_of, model, partial(entropy, ids=ids, seen=seen)))
        values.grad = torch.tensor([found.slots[site.name] for site in donors.sites], dtype=torch.float64)
        adam.step()
        progress(step, spec.steps)
    return {
        name: {site.name: values[row, column].float() for row, site in enumerate(donors.sites)}
        for column, name in enumerate(others)
    }


def task_arithmetic_plan(
    sites: Sequence[Site], base: str, others: Sequence[str], values: Sequence[Sequence[float]]
) -> Plan:
    """The plan of base + sum_i values[site][i] (others[i] - base), one slot for each site and donor."""
    nodes = [Node("donor", (), (("name", base),))]
    total = 0
    for slot, name in enumerate(others):
        first = len(nodes)
        nodes += [
            Node("donor", (), (("name", name),)),
            Node("sub", (first, 0), ()),
            Node("value", (), (("slot", slot),)),
            Node("mul", (first + 1, first + 2), ()),
            Node("add", (total, first + 3), ()),
        ]
        total = first + 4
    return Plan(
        tuple(sorted((base, *others))),
        (Template(tuple(nodes), total),),
        tuple(SitePlan(site.name, site.shape, 0, tuple(row)) for site, row in zip(sites, values, strict=True)),
    )


def padded(batch: Sequence[Tokens], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and which of them are text, both (texts, longest), filled up on the right."""
    longest = max(map(len, batch))
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    seen = torch.zeros(len(batch), longest, dtype=torch.bool)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        seen[row, : len(tokens)] = True
    return ids.to(device), seen.to(device)


def entropy(model: Any, ids: Tensor, seen: Tensor) -> Tensor:
    """The mean entropy (nats) of the next token's distribution over all positions that are text."""
    logits = model(input_ids=ids, attention_mask=seen.long(), use_cache=False).logits  # (texts, longest, vocabulary)
    chances: Tensor = logits[seen].float().log_softmax(-1)  # (positions, vocabulary)
    return -(chances.exp() * chances).sum(-1).mean()


def _batches(texts: Sequence[Tokens], spec: AdaMergingSpec) -> Iterator[list[Tokens]]:
    """``steps`` batches; every text is used before one comes again."""
    rng = random.Random(spec.seed)
    size = min(spec.batch, len(texts))
    left: list[Tokens] = []
    for _ in range(spec.steps):
        if len(left) < size:
            left = rng.sample(texts, len(texts))
        yield [left.pop() for _ in range(size)]
