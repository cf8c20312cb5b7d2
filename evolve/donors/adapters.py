"""LoRA adapters as donors: kept factored, a weight is computed when it is asked for.

The format is that of peft: ``adapter_config.json`` and ``adapter_model.safetensors``. A changed weight is
``W + scale * B @ A`` with scale = alpha / rank (rank-stabilised: alpha / sqrt(rank)), Hu et al., "LoRA: Low-Rank
Adaptation of Large Language Models" (2021), and Kalajdzievski, "A Rank Stabilization Scaling Factor" (2023).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evolve.donors.checkpoint import ADAPTER, Checkpoint, open_file
from evolve.donors.sites import EMBEDDING, HEAD
from evolve.errors import DonorError
from evolve.site import Site

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Tensor name without its prefix: module, kind of tensor. peft leaves out the adapter's name, other tools keep it.
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.default)?(\.weight)?")
_WHOLE = re.compile(r"(?P<module>.+?)(\.base_layer|\.modules_to_save(\.default)?)?\.(?P<kind>weight|bias)")
# Settings of peft's LoraConfig with which an adapter computes something else than W + scale * B @ A.
_OTHER_MATHS = {
    "use_dora": "DoRA",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "arrow_config": "Arrow routing",
    "lora_bias": "biases of its own",
    "layer_replication": "replicated layers",
    "target_parameters": "target_parameters",
    "trainable_token_indices": "trainable tokens",
    "alora_invocation_tokens": "activation by tokens",
}
# Initialisations that leave the base's weights as they are; the others change the base that the adapter is added to.
_PATTERNS = ("rank_pattern", "alpha_pattern")
_MERGE_FIRST = "merge it into its base with peft's merge_and_unload() and name the result"
_PLAIN_INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True)
class Factor:
    """The change ``scale * up @ down`` of one weight; ``up`` is (out, rank), ``down`` (rank, in)."""

    up: Tensor
    down: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.up.shape[0], self.down.shape[1]


class AdaptedTensors(Mapping[str, Tensor]):
    """A donor's tensors with an adapter on them: the base's own where it changes nothing, else new float32 ones.

    ``replaced`` are weights that the adapter holds whole. Nothing that is computed is kept.
    """

    def __init__(
        self, base: Mapping[str, Tensor], factors: Mapping[str, Factor], replaced: Mapping[str, Tensor]
    ) -> None:
        self._base = base
        self.factors = factors
        self.replaced = replaced

    def __getitem__(self, site: str) -> Tensor:
        weight = self.replaced[site] if site in self.replaced else self._base[site]
        factor = self.factors.get(site)
        if factor is None:
            return weight
        return torch.addmm(weight.float(), factor.up.float(), factor.down.float(), alpha=factor.scale)

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)

    def changes(self, site: str) -> bool:
        return site in self.factors or site in self.replaced

    @property
    def stored(self) -> list[Tensor]:
        """The tensors that this donor holds beside its base's."""
        parts = [part for factor in self.factors.values() for part in (factor.up, factor.down)]
        return [*parts, *self.replaced.values()]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.stored)

    def on(self, base: Mapping[str, Tensor], replaced: Mapping[str, Tensor]) -> AdaptedTensors:
        """The same adapter on a base with other vocabulary rows; the weights ``replaced`` are given whole.

        Rows that the base has no more are left out.
        """
        factors = {
            site: Factor(factor.up[: base[site].shape[0]], factor.down, factor.scale)
            for site, factor in self.factors.items()
            if site not in replaced
        }
        whole = {site: tensor[: base[site].shape[0]] for site, tensor in self.replaced.items()}
        return AdaptedTensors(base, factors, {**whole, **replaced})

    def to(self, base: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype | None) -> AdaptedTensors:
        """A copy on ``device``, on the base's copy there; only whole weights are converted to ``dtype``."""
        factors = {
            site: Factor(factor.up.to(device), factor.down.to(device), factor.scale)
            for site, factor in self.factors.items()
        }
        return AdaptedTensors(base, factors, {site: t.to(device, dtype) for site, t in self.replaced.items()})


@dataclass(frozen=True)
class Adapter:
    """An adapter's files, read: ``factors`` and ``whole`` weights by site, and what it says of its base model."""

    checkpoint: Checkpoint
    factors: Mapping[str, Factor]
    whole: Mapping[str, Tensor]
    base_model: str | None

    @property
    def files(self) -> list[str]:
        return [ADAPTER, *self.checkpoint.weight_files]


def open_adapter(path: Path, sites: Sequence[Site], hint: str, *, tied: bool) -> Adapter:
    """The adapter in a folder, for a model of ``sites`` whose head is ``tied`` to the embedding or not.

    Raises DonorError for one that cannot be added to it.
    """
    config = _config(path, hint)
    checkpoint = _checkpoint(path, config, hint)
    names = {site.name: site for site in sites}
    sides: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for key, tensor in checkpoint.open_tensors(sorted(checkpoint.files)).items():
        name = key.removeprefix(_PREFIX)
        if match := _FACTOR.fullmatch(name):
            site = f"{match['module']}.weight"
            # Of an embedding A is (rank, vocabulary) and B (width, rank): the change is the transpose of B @ A.
            part = ("up" if match["side"] == "A" else "down", tensor.T) if match["embedding"] else None
            part = part or ("down" if match["side"] == "A" else "up", tensor)
            sides.setdefault(site, {})[part[0]] = part[1]
        elif match := _WHOLE.fullmatch(name):
            site = f"{match['module']}.{match['kind']}"
            whole[site] = tensor
        else:
            raise DonorError(f"{key} in {path} is no part of a LoRA adapter that can be read; {_MERGE_FIRST}")
        if site not in names:
            raise DonorError(
                f"{key} in {path} changes {site}, which the model has not; take an adapter of the same architecture"
            )
    if not sides and not whole:
        raise DonorError(f"{path / WEIGHTS} holds no tensors; {hint}")
    if tied and {EMBEDDING, HEAD} & {*sides, *whole}:
        raise DonorError(
            f"{path} changes the embedding or the head of a model that ties them to each other; {_MERGE_FIRST}"
        )
    factors = {site: _factor(path, config, names[site], parts) for site, parts in sides.items()}
    return Adapter(checkpoint, factors, whole, config.get("base_model_name_or_path"))


def _config(path: Path, hint: str) -> dict[str, Any]:
    file = path / ADAPTER
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        kind = str(config["peft_type"])
    except OSError:
        raise DonorError(f"{file} does not exist; {hint}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DonorError(f"{file} is no adapter configuration ({type(error).__name__}: {error}); {hint}") from None
    if kind != "LORA":
        raise DonorError(f"{path} holds a {kind} adapter; only LORA can be read, so {_MERGE_FIRST}")
    try:
        int(config["r"]), float(config["lora_alpha"])
        for pattern, value in [item for key in _PATTERNS for item in (config.get(key) or {}).items()]:
            re.compile(pattern), float(value)
    except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
        raise DonorError(f"{file} is no LoRA configuration ({type(error).__name__}: {error}); {hint}") from None
    for key, what in _OTHER_MATHS.items():
        if config.get(key):
            raise DonorError(f"{path} uses {what} ({key}); {_MERGE_FIRST}")
    if config.get("bias", "none") != "none":
        raise DonorError(f"{path} was trained with bias = {config['bias']!r}; {_MERGE_FIRST}")
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_INITIALISATIONS:
        raise DonorError(
            f"{path} began with init_lora_weights = {start!r}, which changes the base's weights; {_MERGE_FIRST}"
        )
    return config


def _checkpoint(path: Path, config: Mapping[str, Any], hint: str) -> Checkpoint:
    file = path / WEIGHTS
    if not file.is_file():
        if (path / "adapter_model.bin").is_file():
            raise DonorError(
                f"{path} has only pickle weights (adapter_model.bin), which can run code when loaded; convert a copy "
                'you trust: python -c "import torch, safetensors.torch as s; '
                f"s.save_file(torch.load('{path}/adapter_model.bin', weights_only=True), '{file}')\""
            )
        raise DonorError(f"{file} does not exist; {hint}")
    with open_file(file, hint) as handle:
        return Checkpoint(path, config, dict.fromkeys(handle.keys(), WEIGHTS), hint)


def _factor(path: Path, config: Mapping[str, Any], site: Site, parts: Mapping[str, Tensor]) -> Factor:
    """One weight's factor, its shapes and rank checked against the model and the configuration."""
    if len(parts) != 2:
        raise DonorError(f"{path} holds one half of the change of {site.name}; take another copy of the adapter")
    up, down = parts["up"], parts["down"]
    if up.dim() != 2 or down.dim() != 2 or up.shape[1] != down.shape[0]:
        shapes = f"{tuple(up.shape)} and {tuple(down.shape)}"
        raise DonorError(f"{path}: the factors of {site.name} have the shapes {shapes}, which do not fit each other")
    module = site.name.removesuffix(".weight")
    rank = int(_setting(config, "rank_pattern", "r", module))
    if rank != up.shape[1]:
        raise DonorError(
            f"{path}: the factors of {site.name} have rank {up.shape[1]}, {ADAPTER} says {rank}; take another copy"
        )
    alpha = float(_setting(config, "alpha_pattern", "lora_alpha", module))
    return Factor(up, down, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _setting(config: Mapping[str, Any], patterns: str, default: str, module: str) -> Any:
    """A module's value: of the first pattern that fits its name or the end of its name, else the common one."""
    for pattern, value in (config.get(patterns) or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return config[default]
