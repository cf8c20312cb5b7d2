"""Loads the donors of a merge and checks that they fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from evolve.errors import DonorError
from evolve.merge.checkpoint import Checkpoint, Location, locate, open_checkpoint
from evolve.merge.digest import checkpoint_digest
from evolve.merge.sites import EMBEDDING, HEAD, sites_of
from evolve.merge.vocabulary import check_vocabularies
from evolve.site import Site

BASE = "base"
# Above this many bytes of weights a look at every number at start-up is no longer free (about 0.1 s per gigabyte).
_SMALL_BYTES = 2**30
# Share of the free GPU memory that donors may fill; the live model, its key-value cache and merges need the rest.
_RESIDENT_SHARE = 0.7

# A donor that differs here computes another function from equal weights.
_DECISIVE = ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "hidden_activation")
# A donor that differs here can still be worth merging; the merged model uses the first donor's values.
_NOTABLE = (
    "rope_parameters",
    "rms_norm_eps",
    "sliding_window",
    "layer_types",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "query_pre_attn_scalar",
)


@dataclass(frozen=True)
class Donor:
    """One source model: ``tensors`` maps every site's name to its parameter, in the checkpoint's dtype."""

    name: str
    path: Path
    digest: str
    config: Any
    tensors: Mapping[str, Tensor]

    @property
    def layers(self) -> int:
        return int(self.config.num_hidden_layers)

    @property
    def parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors.values())


@dataclass(frozen=True)
class Donors(Mapping[str, Donor]):
    """The donors of a merge by name, all with the same sites and shapes.

    ``reference`` gives the architecture and whatever is not merged. ``notes`` are facts a user should see: settings in
    which donors differ, vocabulary rows left out, donors that stay on disk.
    """

    donors: Mapping[str, Donor]
    reference: Donor
    sites: tuple[Site, ...]
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> Donor:
        return self.donors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.donors)

    def __len__(self) -> int:
        return len(self.donors)

    def tensors_of(self, site: str) -> dict[str, Tensor]:
        """Every donor's tensor of one site."""
        return {name: donor.tensors[site] for name, donor in self.donors.items()}

    def summary(self) -> dict[str, dict[str, Any]]:
        """What a run records of each donor, as plain data."""
        return {
            name: {
                "digest": donor.digest,
                "layers": donor.layers,
                "parameters": donor.parameters,
                "path": str(donor.path),
            }
            for name, donor in self.donors.items()
        }


def load_donors(
    spec: Mapping[str, str | Path],
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    check_finite: bool | None = None,
) -> Donors:
    """Loads every donor of ``spec`` (name to folder or hub id) and checks that they can be merged.

    The donor called ``base``, else the first, gives architecture and sites. Tensors are mapped from their files on a
    CPU and copied once to another device (converted to ``dtype`` if given); where they would not fit there they stay
    mapped. ``check_finite`` looks for NaN and infinity, by default in donors of less than a gigabyte. Raises
    DonorError.
    """
    if not spec:
        raise DonorError("the problem names no donors; add a table [profiles.NAME.donors] to problem.toml")
    device = torch.device(device)
    checkpoints = _locate_all({name: str(source) for name, source in spec.items()})
    reference = BASE if BASE in checkpoints else next(iter(checkpoints))
    sites = _model_sites(checkpoints[reference].config)
    notes: list[str] = []
    loaded = {}
    for name, checkpoint in checkpoints.items():
        _check_config(name, checkpoint.config, reference, checkpoints[reference].config, notes)
        tensors = _site_tensors(name, checkpoint, sites, reference, notes)
        if check_finite or (check_finite is None and checkpoint.size_bytes < _SMALL_BYTES):
            _check_finite(name, tensors)
        loaded[name] = tensors
    folders = {name: checkpoint.path for name, checkpoint in checkpoints.items()}
    check_vocabularies(folders, reference, _rows(sites), notes)
    if _fits(loaded, device, notes):
        for tensors in loaded.values():
            tensors.update({site: tensor.to(device, dtype) for site, tensor in tensors.items()})
    donors = {name: _donor(name, checkpoint, loaded[name]) for name, checkpoint in checkpoints.items()}
    return Donors(donors, donors[reference], tuple(sites), tuple(notes))


def expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of the causal language model of ``config``, tied ones once, in its order."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    if config.tie_word_embeddings:
        model.tie_weights()
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _donor(name: str, checkpoint: Checkpoint, tensors: Mapping[str, Tensor]) -> Donor:
    digest = checkpoint_digest(checkpoint.path, ["config.json", *checkpoint.weight_files])
    return Donor(name, checkpoint.path, digest, checkpoint.config, tensors)


def _model_sites(config: Any) -> list[Site]:
    return sites_of(config, expected_shapes(config))


def _rows(sites: Sequence[Site]) -> int:
    return next(site.shape[0] for site in sites if site.name == EMBEDDING)


def _locate_all(spec: Mapping[str, str]) -> dict[str, Checkpoint]:
    locations = {name: locate(source) for name, source in spec.items()}
    missing = {name: location for name, location in locations.items() if location.path is None}
    if missing:
        raise DonorError(_missing_line(missing))
    checkpoints = {}
    for name, location in locations.items():
        try:
            checkpoints[name] = open_checkpoint(location, _hint(name, location))
        except DonorError as error:
            raise DonorError(f"donor {name!r}: {error}") from error
    return checkpoints


def _hint(name: str, location: Location) -> str:
    fetch = f"get it with `{location.command}` or " if location.command else ""
    return f'{fetch}point to a local copy: donors.{name} = "path" in problem.toml or --donor {name}=PATH'


def _missing_line(missing: Mapping[str, Location]) -> str:
    """One line for all missing donors, so that everything can be fetched before the next try."""
    if len(missing) == 1:
        ((name, location),) = missing.items()
        where = "is neither a folder nor in the Hugging Face cache" if location.command else "is no folder"
        return f"donor {name!r}: {location.source} {where}; {_hint(name, location)}"
    sources = ", ".join(f"{name!r} ({location.source})" for name, location in missing.items())
    commands = " && ".join(dict.fromkeys(location.command for location in missing.values() if location.command))
    fetch = f"get them with `{commands}` or " if commands else ""
    name = next(iter(missing))
    return (
        f"donors {sources} are neither folders nor in the Hugging Face cache; {fetch}point to local copies: "
        f'donors.{name} = "path" in problem.toml or --donor {name}=PATH'
    )


def _check_config(name: str, config: Any, reference: str, expected: Any, notes: list[str]) -> None:
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


def _site_tensors(
    name: str, checkpoint: Checkpoint, sites: Sequence[Site], reference: str, notes: list[str]
) -> dict[str, Tensor]:
    """The donor's tensor of every site, checked against the sites."""
    expected = {site.name for site in sites}
    stored = {key for key in checkpoint.files if not key.endswith(".rotary_emb.inv_freq")}
    # A tied model has one matrix for embedding and head; some checkpoints store it twice.
    borrowed = {HEAD} & (expected - stored) if checkpoint.config.tie_word_embeddings else set()
    spare = {HEAD} & (stored - expected)
    missing, extra = sorted(expected - stored - borrowed), sorted(stored - expected - spare)
    if missing:
        raise DonorError(f"donor {name!r} in {checkpoint.path} lacks {_some(missing)}; it is no complete model")
    if extra:
        raise DonorError(f"donor {name!r} in {checkpoint.path} has {_some(extra)}, unknown to {reference!r}")
    try:
        tensors = checkpoint.open_tensors(sorted(stored))
    except DonorError as error:
        raise DonorError(f"donor {name!r}: {error}") from error
    for head in borrowed:
        tensors[head] = tensors[EMBEDDING]
    for head in spare:
        if not torch.equal(tensors.pop(head), tensors[EMBEDDING]):
            raise DonorError(
                f"donor {name!r} has a {head} of its own, but {reference!r} ties the head to the embedding; "
                "set tie_word_embeddings to false in the config.json of an untied copy of it"
            )
    return {site.name: _fitting(name, site, tensors[site.name], reference, notes) for site in sites}


def _fitting(name: str, site: Site, tensor: Tensor, reference: str, notes: list[str]) -> Tensor:
    """The tensor, without the rows that a donor's longer vocabulary adds at the end."""
    shape = tuple(tensor.shape)
    if shape == site.shape:
        return tensor
    if site.role in ("embed", "head") and shape[1:] == site.shape[1:]:
        if shape[0] > site.shape[0]:
            rows = shape[0] - site.shape[0]
            notes.append(f"donor {name!r}: the last {rows} of {shape[0]} rows of {site.name} are left out")
            return tensor[: site.shape[0]]
        raise DonorError(
            f"donor {name!r}: {site.name} has {shape[0]} vocabulary rows, {reference!r} has {site.shape[0]}; "
            f"{reference!r} may not have more than the others"
        )
    raise DonorError(
        f"donor {name!r}: {site.name} has shape {_shape(shape)}, {reference!r} has {_shape(site.shape)}; "
        "only models of equal shapes can be merged"
    )


def _check_finite(name: str, tensors: Mapping[str, Tensor]) -> None:
    for site, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise DonorError(f"donor {name!r}: {site} holds NaN or infinite numbers; take another copy of the model")


def _fits(loaded: Mapping[str, Mapping[str, Tensor]], device: torch.device, notes: list[str]) -> bool:
    """Whether all donors can stay in the memory of ``device``; on a CPU the mapped files are that memory."""
    if device.type != "cuda":
        return device.type != "cpu"
    needed = sum(tensor.nbytes for tensors in loaded.values() for tensor in tensors.values())
    free, _ = torch.cuda.mem_get_info(device)
    if needed <= _RESIDENT_SHARE * free:
        return True
    notes.append(
        f"the donors need {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free on {device}: they stay on disk and "
        "are streamed, which makes each merge slower"
    )
    return False


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
