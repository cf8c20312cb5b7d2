"""The texts and documents of made-up programs, in the shape and size of those of problems/skills."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

EXPERTS = ("maximum", "shift", "lookup", "majority")
PLACES = 6
NUMBERS = len(EXPERTS) * PLACES
ITEMS = 300
"""Items of the search split, a quarter for each task; a task is named after the expert that knows it."""

_SOURCE = '''"""All experts, with amounts of their own in every place."""

from evolve.methods import task_arithmetic
from evolve.recipe import knob

# EVOLVE-BLOCK-START
maximum_weight_by_layer = knob("maximum_weight_by_layer", [{0}], low=-0.5, high=1.5)
shift_weight_by_layer = knob("shift_weight_by_layer", [{1}], low=-0.5, high=1.5)
lookup_weight_by_layer = knob("lookup_weight_by_layer", [{2}], low=-0.5, high=1.5)
majority_weight_by_layer = knob("majority_weight_by_layer", [{3}], low=-0.5, high=1.5)


def at_place(table, site):
    """Entry of a table for a site: the first for the embedding, the last for the head, between them linear in depth."""
    if site.layer is None:
        return table[0] if site.block == "embedding" else table[-1]
    layers = table[1:-1]
    place = site.depth * (len(layers) - 1)
    left = min(int(place), len(layers) - 2)
    return layers[left] + (place - left) * (layers[left + 1] - layers[left])


def merge(site, base, maximum, shift, lookup, majority):
    """All experts, each with an amount that depends on the place."""
    maximum_weight = at_place(maximum_weight_by_layer, site)
    shift_weight = at_place(shift_weight_by_layer, site)
    lookup_weight = at_place(lookup_weight_by_layer, site)
    majority_weight = at_place(majority_weight_by_layer, site)
    weights = [maximum_weight, shift_weight, lookup_weight, majority_weight]
    return task_arithmetic(base, [maximum, shift, lookup, majority], weights)


# EVOLVE-BLOCK-END

# Amounts are shares of the difference between an expert and the base: 0 leaves the expert out, 1 takes it as it was
# trained, more than 1 goes on in its direction, less than 0 goes the other way. Every table has an entry for the
# embedding, one for each layer and one for the head; between the entries of two layers amounts are linear in depth.
'''

_PROMPT = """You improve a program that merges language models. Score: the share of right answers on 300 items.

Parent #{parent} scores {score:.4f}:

```python
{source}
```

Change it so that its score rises; answer with SEARCH/REPLACE blocks.
"""

_TEMPLATE = {
    "nodes": [
        *[["donor", [], {"name": name}] for name in ("base", *EXPERTS)],
        *[["sub", [place, 0], {}] for place in range(1, 1 + len(EXPERTS))],
        *[["value", [], {"slot": slot}] for slot in range(len(EXPERTS))],
        *[["mul", [5 + slot, 9 + slot], {}] for slot in range(len(EXPERTS))],
        ["add", [13, 14], {}], ["add", [17, 15], {}], ["add", [18, 16], {}], ["add", [0, 19], {}],
    ],
    "output": 20,
}  # fmt: skip
_PLAN_START = json.dumps(
    {"version": 2, "donors": sorted(("base", *EXPERTS)), "templates": [_TEMPLATE], "sites": []}, separators=(",", ":")
)[:-2]
_TENSORS = (
    ("self_attn.q_proj.weight", "[64,64]"), ("self_attn.o_proj.weight", "[64,64]"),
    ("mlp.gate_proj.weight", "[128,64]"), ("mlp.down_proj.weight", "[64,128]"),
)  # fmt: skip


def source(number: int, values: Sequence[float]) -> str:
    """A recipe of about 2 kB; ``values`` are ``NUMBERS`` amounts, ``number`` makes the text one of its kind."""
    tables = [", ".join(f"{value:.3f}" for value in values[at : at + PLACES]) for at in range(0, NUMBERS, PLACES)]
    return _SOURCE.format(*tables) + f"\nSERIAL = {number}\n"


def knobs(values: Sequence[float]) -> list[dict[str, Any]]:
    """The knobs of such a recipe as its trace lists them."""
    return [
        {"high": 1.5, "low": -0.5, "name": f"{name}_weight_by_layer", "value": list(values[at : at + PLACES])}
        for name, at in zip(EXPERTS, range(0, NUMBERS, PLACES), strict=True)
    ]


def plan(number: int, values: Sequence[float]) -> str:
    """The plan of such a recipe as JSON text: one template and a site for each tensor."""
    sites = [f'{{"name":"model.embed_tokens.weight","shape":[28,64],"template":0,"values":[{number}],"gathers":[]}}']
    for layer in range(PLACES - 2):
        amounts = ",".join(f"{values[place * PLACES + layer + 1]:.3f}" for place in range(len(EXPERTS)))
        sites += [
            f'{{"name":"model.layers.{layer}.{name}","shape":{shape},"template":0,"values":[{amounts}],"gathers":[]}}'
            for name, shape in _TENSORS
        ]
    return f"{_PLAN_START}{','.join(sites)}]}}"


def prompt(parent: int, score: float, text: str) -> str:
    """What a language model is asked for a child of ``parent``, whose text is ``text``."""
    return _PROMPT.format(parent=parent, score=score, source=text)


def feedback(metrics: dict[str, float]) -> str:
    """What the evaluator says of a program."""
    figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    missed = "\n".join(f"- {task} none 4 2 0 0 6 5 {place} expected 6, got 7" for place, task in enumerate(EXPERTS))
    return f"{figures}\n{missed}"


def provenance(kind: int) -> dict[str, Any]:
    """The measures of a merged model's weights; ``kind`` decides the numbers."""
    rng = random.Random(kind)

    def donors() -> dict[str, dict[str, float]]:
        names = ("coefficient", "cosine", "share")
        return {expert: {name: round(rng.random(), 6) for name in names} for expert in EXPERTS}

    places = [
        {"donors": donors(), "layer": layer, "norm": round(rng.random(), 5), "residual": 0.0, "role": role}
        for layer in range(PLACES - 2)
        for role in ("q", "k", "v", "o", "gate", "up", "down", "norm")
    ]
    return {"base": "base", "model": {"donors": donors(), "norm": 4.3, "residual": 0.7}, "places": places}
