"""Finds a model on this machine and opens its safetensors files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoConfig

from evolve.errors import DonorError
from evolve.merge.sites import architecture

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Checkpoint:
    """A model folder.

    ``files`` maps each tensor's name to its safetensors file; ``hint`` says how to get a fresh copy.
    """

    path: Path
    config: Any
    files: Mapping[str, str]
    hint: str

    @property
    def weight_files(self) -> list[str]:
        return sorted(set(self.files.values()))

    @property
    def size_bytes(self) -> int:
        return sum((self.path / name).stat().st_size for name in self.weight_files)

    def open_tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors, mapped from the files and read as they are used. Raises DonorError for a damaged file."""
        by_file: dict[str, list[str]] = {}
        for name in names:
            by_file.setdefault(self.files[name], []).append(name)
        tensors = {}
        for file, members in by_file.items():
            with _open(self.path / file, self.hint) as handle:
                for name in members:
                    tensors[name] = handle.get_tensor(name)
        for name, tensor in tensors.items():
            if tensor.dtype not in _FLOATS:
                raise DonorError(
                    f"{name} in {self.path} is {tensor.dtype}; only float32, float16 and bfloat16 checkpoints can be "
                    "merged, so take the unquantised model"
                )
        return tensors


@dataclass(frozen=True)
class Location:
    """Where a donor's ``source`` leads: its folder (None: not on this machine) and the hub command that fetches it."""

    source: str
    path: Path | None
    command: str | None


def locate(source: str) -> Location:
    """Resolves a local folder or a hub id (``org/name`` or ``org/name@revision``) without any network access."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return Location(source, folder, None)
    match = _HUB_ID.fullmatch(source)
    if match is None:
        return Location(source, None, None)
    repo, revision = match["repo"], match["revision"]
    command = f"hf download {repo}" + (f" --revision {revision}" if revision else "")
    try:
        cached = snapshot_download(repo, revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError):
        return Location(source, None, command)
    return Location(source, Path(cached), command)


def open_checkpoint(location: Location, hint: str) -> Checkpoint:
    """The checkpoint in a located folder, its headers read. Raises DonorError saying what is wrong and ``hint``."""
    assert location.path is not None
    path = location.path
    config = _config(path, hint)
    return Checkpoint(path, config, _tensor_files(path, hint), hint)


def _config(path: Path, hint: str) -> Any:
    file = path / "config.json"
    if not file.is_file():
        if (path / "adapter_config.json").is_file():
            raise DonorError(f"{path} holds a LoRA adapter; merge it into its base model first and name the result")
        raise DonorError(f"{file} does not exist; {hint}")
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        model_type = str(table["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise DonorError(f"{file} is no model configuration ({type(error).__name__}: {error}); {hint}") from None
    architecture(model_type)
    if table.get("quantization_config"):
        raise DonorError(f"{path} is quantised; take the unquantised model")
    try:
        return AutoConfig.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, StrictDataclassError) as error:
        raise DonorError(f"{file} cannot be read: {one_line(error)}; {hint}") from error


def _tensor_files(path: Path, hint: str) -> dict[str, str]:
    index = path / INDEX
    if index.is_file():
        try:
            found = {str(name): str(file) for name, file in json.loads(index.read_text("utf-8"))["weight_map"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DonorError(f"{index} is damaged ({type(error).__name__}: {error}); {hint}") from None
        for file in sorted(set(found.values())):
            if os.path.basename(file) != file:  # noqa: PTH119
                raise DonorError(f"{index} names a file outside its folder: {file!r}; take another copy")
            if not (path / file).is_file():
                raise DonorError(f"{path / file} does not exist; {hint}")
        return found
    if (path / SINGLE).is_file():
        with _open(path / SINGLE, hint) as handle:
            return dict.fromkeys(handle.keys(), SINGLE)
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    if pickles:
        raise DonorError(
            f"{path} has only pickle weights ({pickles[0]}), which can run code when loaded; take a safetensors "
            "revision (hub conversions are at ORG/NAME@refs/pr/N) or convert a copy you trust with save_pretrained()"
        )
    raise DonorError(f"{path / SINGLE} does not exist; {hint}")


def _open(file: Path, hint: str) -> Any:
    try:
        return safe_open(file, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise DonorError(f"{file} is damaged ({one_line(error)}); {hint}") from None


def one_line(error: BaseException) -> str:
    """An exception's message on one line of bounded length."""
    return " ".join(str(error).split())[:300] or type(error).__name__
