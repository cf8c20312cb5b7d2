"""One donor as a transformers model, for statistics that need its activations or gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.initialization import no_init_weights

from evolve.donors.donors import Donor, Donors
from evolve.site import Site

# Sums of one group of sites in memory at a time: more memory means fewer passes over the texts.
GROUP_BYTES = 8 * 2**30


def bare_model(config: Any, device: str | torch.device) -> nn.Module:
    """A float32 model with uninitialised parameters, in eval mode, without gradients."""
    with torch.device(device), no_init_weights():
        model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            copy.deepcopy(config), dtype=torch.float32
        )
    if config.tie_word_embeddings:
        model.tie_weights()
    built: nn.Module = model.eval().requires_grad_(False)
    return built


def donor_model(donor: Donor, donors: Donors, device: str | torch.device) -> nn.Module:
    """The donor with its own configuration and the sites' shapes: without vocabulary rows that the merge leaves out."""
    config, reference = copy.deepcopy(donor.config), donors.reference.config
    config.vocab_size, config.tie_word_embeddings = reference.vocab_size, reference.tie_word_embeddings
    if config.pad_token_id is not None and not 0 <= config.pad_token_id < config.vocab_size:
        config.pad_token_id = None
    model = bare_model(config, device)
    with torch.no_grad():
        for site in donors.sites:
            model.get_parameter(site.name).copy_(donor.tensors[site.name])
    return model


def groups(sites: Sequence[Site], size_bytes: Callable[[Site], int], limit_bytes: int) -> Iterator[list[Site]]:
    """The sites in their order, in groups that stay within the limit where a single site does."""
    group: list[Site] = []
    used = 0
    for site in sites:
        size = size_bytes(site)
        if group and used + size > limit_bytes:
            yield group
            group, used = [], 0
        group.append(site)
        used += size
    if group:
        yield group


def inputs_of(tokens: Sequence[int], device: torch.device) -> Tensor:
    """Token ids as a batch of one: (1, length)."""
    return torch.tensor([tokens], dtype=torch.long, device=device)
