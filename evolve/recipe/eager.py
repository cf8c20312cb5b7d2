"""Runs a recipe on real tensors: the oracle for the executor."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import ModuleType

import torch
from torch import Tensor

from evolve.recipe.modes import Eager, mark_symbolic
from evolve.recipe.program import Recipe, RecipeSite, blaming, line_of_function, load, repeatable, seeding
from evolve.recipe.trace import check_result
from evolve.site import Site


def eager(program: str | ModuleType, site: Site, donors: Mapping[str, Tensor]) -> Tensor:
    """The merged parameter of one site, computed by the recipe itself: float32 of the site's shape.

    ``program`` is a recipe's source or a loaded module; ``donors`` hold this site's tensors in any float dtype and
    are not changed. Noise has the bits of the traced plan's. Raises the RecipeErrors of tracing where they apply.
    """
    mode = Eager()
    with repeatable(), seeding(mode.set_seed), mode, torch.no_grad():
        module = load(program) if isinstance(program, str) else program
        recipe = Recipe.of(module, donors)
        given = {name: tensor.detach().to(torch.float32, copy=True).contiguous() for name, tensor in donors.items()}
        mark_symbolic(list(given.values()))
        mode.begin(site.name, mode.seed)
        random.seed(site.name)
        with blaming(f"site {site.name}", line_of_function(recipe.merge)):
            output = recipe.merge(RecipeSite.of(site), **recipe.select(given))
            check_result(output, site)
    result: Tensor = output
    return result
