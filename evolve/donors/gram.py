"""Inner products of the inputs of a donor's linear layers, as RegMean needs them (Jin et al., arXiv 2212.09849)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from evolve.donors.donor_model import GROUP_BYTES, groups, inputs_of
from evolve.donors.sites import split_name
from evolve.donors.texts import Tokens
from evolve.site import Site

# Layers that read the same input as another one have its matrix.
_SAME_INPUT = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
# A sum and the product of one text.
_BYTES_PER_ELEMENT = 8


def same_inputs(sites: Sequence[Site]) -> dict[str, str]:
    """Sites of linear layers whose gram is that of another one, by name: keys and values read what queries read."""
    return {
        site.name: site.name.replace(f".{site.role}.", f".{_SAME_INPUT[site.role]}.")
        for site in sites
        if site.role in _SAME_INPUT
    }


def gram(
    model: nn.Module,
    texts: Sequence[Tokens],
    sites: Sequence[Site],
    progress: Callable[[int, int], None],
    group_bytes: int = GROUP_BYTES,
) -> Iterator[tuple[str, Tensor]]:
    """Yields (site name, float32 G of shape (in, in)) in the order of ``sites``, weights of linear layers.

    G = X^T X / n, where the n rows of X are the layer's inputs at all tokens of all texts: each text's product in
    float32, added up in float32 text by text. One pass over the texts for each group of sites whose matrices fit
    ``group_bytes``; ``progress`` gets texts done and in all.
    """
    parts = list(groups(sites, lambda site: _BYTES_PER_ELEMENT * site.shape[1] ** 2, group_bytes))
    device = next(model.parameters()).device
    tokens_in_all = sum(map(len, texts))
    for index, group in enumerate(parts):
        sums = {site.name: torch.zeros(site.shape[1], site.shape[1], device=device) for site in group}
        hooks = [
            model.get_submodule(_module(site.name)).register_forward_pre_hook(partial(_add_product, sums[site.name]))
            for site in group
        ]
        try:
            for number, tokens in enumerate(texts, 1):
                with torch.no_grad():
                    model(input_ids=inputs_of(tokens, device), use_cache=False)
                progress(index * len(texts) + number, len(parts) * len(texts))
        finally:
            for hook in hooks:
                hook.remove()
        for site in group:
            yield site.name, sums.pop(site.name).div_(tokens_in_all)


def _module(name: str) -> str:
    return name.removesuffix(f".{split_name(name)[2]}")


def _add_product(total: Tensor, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    rows = inputs[0].reshape(-1, inputs[0].shape[-1]).float()  # (tokens, in)
    total.addmm_(rows.mT, rows)
