"""Checks that a donor fits the reference: configuration, tensor by tensor, number by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from evolve.donors.adapters import AdaptedTensors, Adapter
from evolve.donors.checkpoint import Checkpoint
from evolve.donors.sites import EMBEDDING, HEAD
from evolve.errors import DonorError
from evolve.site import Site

# A donor that differs here computes another function from equal weights.
_DECISIVE = ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "hidden_activation")
# A donor that differs here can still be worth merging; the merged model uses the reference donor's values.
_NOTABLE = (
    "rope_parameters",
    "rms_norm_eps",
    "sliding_window",
    "layer_types",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "query_pre_attn_scalar",
)
_OTHER_COPY = "its files do not belong together, take another copy"


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Puts the donor's name before the message of a DonorError."""
    try:
        yield
    except DonorError as error:
        raise DonorError(f"donor {name!r}: {error}") from error


def check_config(name: str, config: Any, reference: str, expected: Any, notes: list[str]) -> None:
    """Raises DonorError for another architecture; differing settings of lesser weight become ``notes``."""
    if config.model_type != expected.model_type:
        raise DonorError(
            f"donor {name!r} is a {config.model_type} model, {reference!r} a {expected.model_type} model; "
            "only models of one architecture can be merged"
        )
    if config.num_hidden_layers != expected.num_hidden_layers:
        raise DonorError(
            f"donor {name!r} has {config.num_hidden_layers} layers, {reference!r} has {expected.num_hidden_layers}; "
            "all donors need the same number"
        )
    for key in _DECISIVE:
        mine, theirs = getattr(config, key, None), getattr(expected, key, None)
        if mine != theirs:
            raise DonorError(f"donor {name!r} has {key} = {mine!r}, {reference!r} has {theirs!r}; they must be equal")
    for key in _NOTABLE:
        mine, theirs = getattr(config, key, None), getattr(expected, key, None)
        if mine != theirs:
            notes.append(f"donor {name!r} has {key} = {mine!r}; the merged model uses {theirs!r} of {reference!r}")


def model_tensors(name: str, checkpoint: Checkpoint, sites: Sequence[Site], reference: str) -> dict[str, Tensor]:
    """The donor's tensor of every site. Vocabulary rows may be of another number, all else has the site's shape."""
    expected = {site.name for site in sites}
    stored = {key for key in checkpoint.files if not key.endswith(".rotary_emb.inv_freq")}
    # A tied model has one matrix for embedding and head; some checkpoints store it twice.
    borrowed = {HEAD} & (expected - stored) if checkpoint.config.tie_word_embeddings else set()
    spare = {HEAD} & (stored - expected)
    missing, extra = sorted(expected - stored - borrowed), sorted(stored - expected - spare)
    if missing:
        raise DonorError(
            f"donor {name!r} in {checkpoint.path} lacks {_some(missing)}; it is no complete model, take another copy"
        )
    if extra:
        raise DonorError(
            f"donor {name!r} in {checkpoint.path} has {_some(extra)}, unknown to {reference!r}; take a plain model of "
            "the same architecture"
        )
    with naming(name):
        tensors = checkpoint.open_tensors(sorted(stored))
    for head in borrowed:
        tensors[head] = tensors[EMBEDDING]
    for head in spare:
        if not torch.equal(tensors.pop(head), tensors[EMBEDDING]):
            raise DonorError(
                f"donor {name!r} has a {head} of its own, but {reference!r} ties the head to the embedding; "
                f"untie a copy of {reference!r}: store its embedding as {head} too and set tie_word_embeddings to false"
            )
    for site in sites:
        _check_shape(name, site, tensors[site.name], reference)
    return {site.name: tensors[site.name] for site in sites}


def adapted_tensors(
    name: str, adapter: Adapter, base: Mapping[str, Tensor], on: str, notes: list[str]
) -> AdaptedTensors:
    """The adapter on the tensors of the donor ``on``. Raises DonorError where a shape does not fit."""
    for site, factor in adapter.factors.items():
        if factor.shape != tuple(base[site].shape):
            raise DonorError(
                f"donor {name!r}: the adapter changes {site} of shape {_shape(factor.shape)}, {on!r} has "
                f"{_shape(base[site].shape)}; name the model that it was trained on"
            )
    whole = {}
    for site, tensor in adapter.whole.items():
        shape = base[site].shape
        fits = tensor.dim() == len(shape) and tensor.shape[1:] == shape[1:] and tensor.shape[0] >= shape[0]
        if not fits or (tensor.shape[0] > shape[0] and site not in (EMBEDDING, HEAD)):
            raise DonorError(
                f"donor {name!r}: the adapter holds {site} of shape {_shape(tensor.shape)}, {on!r} has "
                f"{_shape(shape)}; name the model that it was trained on"
            )
        if tensor.shape[0] > shape[0]:
            notes.append(_left_out(name, tensor.shape[0] - shape[0], tensor.shape[0], site))
        whole[site] = tensor[: shape[0]]
    return AdaptedTensors(base, adapter.factors, whole)


def with_reference_rows(
    name: str, tensors: Mapping[str, Tensor], sites: Sequence[Site], reference: str, notes: list[str]
) -> dict[str, Tensor]:
    """The tensors without the rows that a longer vocabulary adds at the end. Raises DonorError for a shorter one."""
    fitting = {}
    for site in sites:
        tensor, rows = tensors[site.name], site.shape[0]
        if tensor.shape[0] < rows:
            raise DonorError(
                f"donor {name!r}: {site.name} has {tensor.shape[0]} vocabulary rows, {_whose(name, reference)} {rows}; "
                + (_OTHER_COPY if name == reference else 'set vocabulary = "union" or take donors with as many rows')
            )
        if tensor.shape[0] > rows:
            notes.append(_left_out(name, tensor.shape[0] - rows, tensor.shape[0], site.name))
        fitting[site.name] = tensor[:rows]
    return fitting


def check_finite(name: str, checkpoint: Checkpoint, tensors: Sequence[str]) -> None:
    """Raises DonorError where one of the named tensors holds NaN or infinity."""
    wrong = checkpoint.not_finite([tensor for tensor in tensors if tensor in checkpoint.files])
    if wrong:
        raise DonorError(
            f"donor {name!r}: {_some(wrong)} in {checkpoint.path} holds NaN or infinite numbers; take another copy"
        )


def dtype_note(name: str, tensors: Mapping[str, Tensor], reference: str, expected: Mapping[str, Tensor]) -> list[str]:
    """A note where a donor's numbers are stored in another type; the merge computes in float32 anyway."""
    mine, theirs = (str(of[EMBEDDING].dtype).removeprefix("torch.") for of in (tensors, expected))
    if mine == theirs:
        return []
    return [f"donor {name!r} is stored in {mine}, {reference!r} in {theirs}; merges are computed in float32"]


def _check_shape(name: str, site: Site, tensor: Tensor, reference: str) -> None:
    shape = tuple(tensor.shape)
    rows_only = site.name in (EMBEDDING, HEAD) and len(shape) == len(site.shape)
    if shape[1:] != site.shape[1:] or (shape != site.shape and not rows_only):
        raise DonorError(
            f"donor {name!r}: {site.name} has shape {_shape(shape)}, {_whose(name, reference)} {_shape(site.shape)}; "
            + (_OTHER_COPY if name == reference else "only models of equal shapes can be merged")
        )


def _whose(name: str, reference: str) -> str:
    """Where an expected number comes from."""
    return "its config.json says" if name == reference else f"{reference!r} has"


def _left_out(name: str, more: int, rows: int, site: str) -> str:
    return f"donor {name!r}: the last {more} of {rows} rows of {site} are left out"


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
