"""The recipe's optional stack(): the sequence of layers of the merged model."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evolve.errors import RecipeError
from evolve.plan.plan import MERGED, StackEntry
from evolve.recipe.graph import plain_number
from evolve.recipe.program import DonorInfo, blaming, line_of_function
from evolve.recipe.symbolic import Symbolic
from evolve.site import Site


def trace_stack(
    function: Callable[..., Any], donors: Mapping[str, DonorInfo], sites: Sequence[Site], max_layers: int
) -> tuple[StackEntry, ...] | None:
    """The entries that stack(donors) returns; None when they are the merged model's own layers in order.

    An entry is (model, layer), (model, layer, scale) or a mapping of these names. Raises RecipeError naming the entry.
    """
    with blaming("stack()", line_of_function(function)):
        returned = function(dict(donors))
        if not isinstance(returned, (list, tuple)):
            raise RecipeError(f"it must return a list of (model, layer) entries, not {type(returned).__name__}")
        if not 1 <= len(returned) <= max_layers:
            raise RecipeError(f"it returned {len(returned)} layers; 1 to {max_layers} are allowed")
        own = 1 + max((site.layer for site in sites if site.layer is not None), default=-1)
        layers = {MERGED: own, **{name: info.layers for name, info in donors.items()}}
        entries = tuple(_entry(entry, index, layers) for index, entry in enumerate(returned))
    natural = tuple(StackEntry(MERGED, layer, 1.0) for layer in range(own))
    return None if entries == natural else entries


def _entry(entry: Any, index: int, layers: Mapping[str, int]) -> StackEntry:
    where = f"entry {index}"
    if isinstance(entry, Mapping):
        unknown = set(entry) - {"model", "layer", "scale"}
        if unknown or not {"model", "layer"} <= set(entry):
            raise RecipeError(f"{where}: {dict(entry)!r} must have model and layer, and may have scale")
        entry = (entry["model"], entry["layer"], entry.get("scale", 1.0))
    if not isinstance(entry, (list, tuple)) or len(entry) not in (2, 3):
        raise RecipeError(f"{where}: {entry!r} must be (model, layer) or (model, layer, scale)")
    model, layer, scale = (*entry, 1.0)[:3]
    if model not in layers if isinstance(model, str) else True:
        raise RecipeError(f"{where}: model {model!r} is none of {', '.join(layers)}")
    try:
        layer = operator.index(layer)
    except TypeError:
        raise RecipeError(f"{where}: layer {layer!r} is not an integer") from None
    if isinstance(layer, bool) or not 0 <= layer < layers[model]:
        raise RecipeError(f"{where}: layer {layer} of {model!r}, which has layers 0..{layers[model] - 1}")
    if isinstance(scale, (Symbolic, bool)):
        raise RecipeError(f"{where}: scale {scale!r} must be a number")
    number = float(plain_number(scale, f"{where}: scale"))
    if not math.isfinite(number) or number == 0:
        raise RecipeError(f"{where}: scale {number} must be finite and not zero")
    return StackEntry(model, layer, number)
