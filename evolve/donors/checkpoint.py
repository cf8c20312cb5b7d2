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

from evolve.donors.digest import FLOATS, not_finite
from evolve.donors.sites import architecture
from evolve.errors import DonorError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
ADAPTER = "adapter_config.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


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
            with open_file(self.path / file, self.hint) as handle:
                for name in members:
                    tensors[name] = self._tensor(handle, name)
        return tensors

    def _tensor(self, handle: Any, name: str) -> Tensor:
        file = self.path / self.files[name]
        try:
            tensor: Tensor = handle.get_tensor(name)
        except (SafetensorError, ValueError, TypeError) as error:
            raise DonorError(f"{name} cannot be read from {file} ({one_line(error)}); {self.hint}") from None
        if tensor.dtype not in FLOATS:
            raise DonorError(
                f"{name} in {self.path} is {tensor.dtype}; only float32, float16 and bfloat16 checkpoints can be "
                f"merged, so {_remedy(tensor.dtype)}"
            )
        return tensor

    def not_finite(self, names: Iterable[str]) -> list[str]:
        """Those of the named tensors that hold NaN or infinity; each file is searched once and remembered."""
        wanted = set(names)
        found = {
            name for file in sorted({self.files[name] for name in wanted}) for name in not_finite(self.path / file)
        }
        return sorted(found & wanted)


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


def is_adapter(path: Path) -> bool:
    """Whether a folder holds an adapter in the format of peft, and no whole model."""
    return (path / ADAPTER).is_file() and not (path / "config.json").is_file()


def open_checkpoint(location: Location, hint: str) -> Checkpoint:
    """The checkpoint in a located folder, its headers read. Raises DonorError saying what is wrong and ``hint``."""
    assert location.path is not None
    path = location.path
    config = _config(path, hint)
    return Checkpoint(path, config, _tensor_files(path, hint), hint)


def _config(path: Path, hint: str) -> Any:
    file = path / "config.json"
    if not file.is_file():
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
        with open_file(path / SINGLE, hint) as handle:
            return dict.fromkeys(handle.keys(), SINGLE)
    pickles = sorted(file.name for pattern in _PICKLES for file in path.glob(pattern))
    if pickles:
        raise DonorError(
            f"{path} has only pickle weights ({pickles[0]}), which can run code when loaded; take a safetensors "
            'revision (hub conversions are at ORG/NAME@refs/pr/N) or convert a copy you trust: python -c "from '
            "transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
            f"[k.from_pretrained('{path}').save_pretrained('{path}-safetensors') for k in (M, T)]\""
        )
    raise DonorError(f"{path / SINGLE} does not exist; {hint}")


def open_file(file: Path, hint: str) -> Any:
    """An opened safetensors file. Raises DonorError for a damaged one, with ``hint``."""
    try:
        return safe_open(file, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise DonorError(f"{file} is damaged ({one_line(error)}); {hint}") from None


def _remedy(dtype: torch.dtype) -> str:
    if dtype == torch.float64:
        return "save it again with model.to(torch.float32).save_pretrained(FOLDER)"
    return "take the unquantised model"


def one_line(error: BaseException) -> str:
    """An exception's message on one line of bounded length."""
    return " ".join(str(error).split())[:300] or type(error).__name__
