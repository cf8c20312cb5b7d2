"""Diagonal Fisher information of a donor's parameters (Matena & Raffel, arXiv 2111.09832)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evolve.donors.donor_model import GROUP_BYTES, groups, inputs_of
from evolve.donors.texts import Tokens
from evolve.site import Site

# A sum and a gradient of each parameter of a group.
_BYTES_PER_ELEMENT = 8


def fisher(
    model: nn.Module,
    texts: Sequence[Tokens],
    sites: Sequence[Site],
    progress: Callable[[int, int], None],
    group_bytes: int = GROUP_BYTES,
) -> Iterator[tuple[str, Tensor]]:
    """Yields (site name, float32 F of the site's shape) in the order of ``sites``.

    F is the mean over the texts of the squared gradient of one text's negative log-likelihood per next token (the
    empirical Fisher: batches of one, the texts' own tokens). No floor is applied. A tied embedding counts once, with
    both of its uses. One pass over the texts for each group of sites whose sums and gradients fit ``group_bytes``;
    ``progress`` gets texts done and in all.
    """
    parts = list(groups(sites, lambda site: _BYTES_PER_ELEMENT * prod(site.shape), group_bytes))
    device = next(model.parameters()).device
    for index, group in enumerate(parts):
        parameters = [model.get_parameter(site.name).requires_grad_(True) for site in group]
        sums = [torch.zeros_like(parameter, requires_grad=False) for parameter in parameters]
        for number, tokens in enumerate(texts, 1):
            ids = inputs_of(tokens, device)
            with torch.enable_grad():
                logits = model(input_ids=ids, use_cache=False).logits.float()  # (1, length, vocabulary)
                loss = F.cross_entropy(logits[0, :-1], ids[0, 1:])
                gradients = torch.autograd.grad(loss, parameters)
            for total, gradient in zip(sums, gradients, strict=True):
                total.addcmul_(gradient, gradient)
            progress(index * len(texts) + number, len(parts) * len(texts))
        for parameter in parameters:
            parameter.requires_grad_(False)
        for site, total in zip(group, sums, strict=True):
            yield site.name, total.div_(len(texts))
