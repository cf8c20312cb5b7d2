"""Aligned donors: prepared once, kept in the cache as an ordinary checkpoint."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from evolve.donors.checkpoint import INDEX, Checkpoint
from evolve.donors.matching import Permutations, match
from evolve.donors.prepared import prepared_folder
from evolve.donors.sites import EMBEDDING, HEAD
from evolve.site import Site

_FACTS = "alignment.json"
# Counts up when the same donors would be aligned in another way.
_VERSION = 1


def aligned_checkpoint(
    donor: Mapping[str, Tensor],
    donor_digest: str,
    reference: Mapping[str, Tensor],
    reference_digest: str,
    sites: Sequence[Site],
    config: Any,
    device: torch.device,
    begins: Callable[[], None],
) -> Checkpoint:
    """The donor with its hidden units permuted so that they match the reference's; numbers and dtypes stay.

    Made at the first call, which computes on ``device`` and says so with ``begins``, and read from the cache
    afterwards. Raises DonorError for an architecture whose symmetries are unknown or a cache that cannot be written.
    """
    # The rows of the vocabulary and a head of its own are the whole merge's, not the two donors' alone.
    shapes = {site.name: site.shape for site in sites}

    def make(folder: Path) -> None:
        begins()
        found = match(reference, donor, sites, config, device)
        _write(folder, donor, sites, found)
        whole = copy.deepcopy(config)
        whole.vocab_size = shapes[EMBEDDING][0]
        whole.tie_word_embeddings = HEAD not in shapes
        whole.save_pretrained(folder)
        facts = {
            "distance_before": _distance(donor, reference, sites, Permutations.identity(config)),
            "distance_after": _distance(donor, reference, sites, found),
        }
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")

    folder = prepared_folder("aligned", [_VERSION, donor_digest, reference_digest, shapes], make)
    files = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
    return Checkpoint(folder, config, files, f"remove the folder {folder}, it is then made again")


def alignment_note(name: str, to: str, checkpoint: Checkpoint) -> str:
    """How much closer the alignment has brought a donor, in words."""
    facts = json.loads((checkpoint.path / _FACTS).read_text(encoding="utf-8"))
    before, after = facts["distance_before"], facts["distance_after"]
    if before == after:
        return f"donor {name!r}: no permutation is closer to {to!r} than none (relative distance {before:.3f})"
    return f"donor {name!r}: relative distance to {to!r} {before:.3f} before the alignment, {after:.3f} after it"


def _write(folder: Path, donor: Mapping[str, Tensor], sites: Sequence[Site], found: Permutations) -> None:
    """One file per layer, so that no more than a layer is in memory twice."""
    by_file: dict[str, list[Site]] = {}
    for site in sites:
        part = "outside" if site.layer is None else f"{site.layer:05d}"
        by_file.setdefault(f"layer-{part}.safetensors", []).append(site)
    for file, members in by_file.items():
        tensors = {site.name: found.apply(site, donor[site.name]).cpu().contiguous() for site in members}
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(donor[site.name].nbytes for site in sites)},
        "weight_map": {site.name: file for file, members in by_file.items() for site in members},
    }
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _distance(
    donor: Mapping[str, Tensor], reference: Mapping[str, Tensor], sites: Sequence[Site], found: Permutations
) -> float:
    """Norm of the difference over the norm of the reference, all weights together."""
    apart = whole = 0.0
    for site in sites:
        aim = reference[site.name].float()
        apart += float((found.apply(site, donor[site.name]).float() - aim).square().sum(dtype=torch.float64))
        whole += float(aim.square().sum(dtype=torch.float64))
    return float((apart / whole) ** 0.5) if whole else 0.0
