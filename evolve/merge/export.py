"""Writes the live model as a checkpoint that any runtime loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolve.donors.vocabulary import TOKENIZER_FILES
from evolve.errors import RunError
from evolve.merge.folder import check_target, unfinished_folder
from evolve.merge.model import LiveModel

# Hosts and loaders expect files of at most a few gigabytes.
_SHARD_SIZE = "5GB"


def export(live: LiveModel, folder: Path, card: str) -> None:
    """Writes the model as it stands to ``folder``: weights, configuration, tokenizer and ``card`` as README.md.

    Everything is written next to ``folder`` first, reloaded and compared bit for bit; ``folder`` appears whole or not
    at all. Raises UsageError when it exists and is not empty, RunError when what was written differs from the live
    model.
    """
    folder = folder.absolute()
    check_target(folder)
    with unfinished_folder(folder) as unfinished:
        _write(live, unfinished, card)
        _verify(live, unfinished)


def _write(live: LiveModel, folder: Path, card: str) -> None:
    live.model.save_pretrained(folder, max_shard_size=_SHARD_SIZE)
    for name in TOKENIZER_FILES:
        source = live.tokenizer_folder / name
        if source.is_file():
            shutil.copyfile(source, folder / name)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _verify(live: LiveModel, folder: Path) -> None:
    reloaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=live.dtype, local_files_only=True)
    written, expected = reloaded.state_dict(), live.model.state_dict()
    if written.keys() != expected.keys():
        differing = sorted(written.keys() ^ expected.keys())
        raise RunError(f"the export to {folder} failed its check: {differing[0]} is not in both models")
    for name, tensor in expected.items():
        if not _same_bits(written[name], tensor.cpu()):
            raise RunError(f"the export to {folder} failed its check: {name} was written with other numbers")
    if AutoTokenizer.from_pretrained(folder, local_files_only=True).get_vocab() != live.tokenizer.get_vocab():
        raise RunError(f"the export to {folder} failed its check: the tokenizer has another vocabulary")


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))
