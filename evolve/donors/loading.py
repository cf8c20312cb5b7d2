"""Donors in the making: models and adapters are opened, given one vocabulary, aligned, moved to the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from evolve.donors.adapters import AdaptedTensors, Adapter, open_adapter
from evolve.donors.alignment import aligned_checkpoint, alignment_note
from evolve.donors.checkpoint import Checkpoint, Location, is_adapter, locate, open_checkpoint
from evolve.donors.digest import checkpoint_digest, combined_digest
from evolve.donors.fitting import (
    adapted_tensors,
    check_config,
    check_finite,
    dtype_note,
    model_tensors,
    naming,
    with_reference_rows,
)
from evolve.donors.sites import EMBEDDING, HEAD, sites_of
from evolve.donors.union import Member, unite
from evolve.donors.vocabulary import check_vocabularies, has_tokenizer
from evolve.errors import DonorError
from evolve.site import Site
from evolve.sources import AdapterSource, AlignedSource, ModelSource, Source, ordered, parse_sources

BASE = "base"
# Share of the free GPU memory that donors may fill; the live model, its key-value cache and merges need the rest.
_RESIDENT_SHARE = 0.7


def expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of the causal language model of ``config``, tied ones once, in its order."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    if config.tie_word_embeddings:
        model.tie_weights()
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


class Loading:
    """The steps of ``load_donors``, to be taken in the order of the methods, and what is known after each.

    ``reference`` names the donor that gives architecture and ``sites``. Every method may raise DonorError.
    """

    def __init__(self, spec: Mapping[str, Any], device: torch.device, finite: bool) -> None:
        self._sources, self._locations = _located(spec)
        self._device = device
        self.reference = _reference(list(spec), self._sources)
        self.notes: list[str] = []
        self.union_folder: Path | None = None
        self._paths = {name: path for name, location in self._locations.items() if (path := location.path) is not None}
        self._tensors: dict[str, Mapping[str, Tensor]] = {}
        self._configs: dict[str, Any] = {}
        self._digests: dict[str, str] = {}
        checkpoints = self._checkpoints()
        config = checkpoints[self.reference].config
        self.sites = _model_sites(config)
        for name, source in self._sources.items():
            if name in checkpoints:
                self._open_model(name, checkpoints[name], config, finite)
            elif isinstance(source, AdapterSource):
                self._open_adapter(name, source, finite)
        for name in checkpoints:
            self.notes += dtype_note(name, self._tensors[name], self.reference, self._tensors[self.reference])

    def take_reference_vocabulary(self) -> None:
        """Leaves out rows that the reference has not; raises DonorError where rows mean other tokens."""
        for name, source in self._sources.items():
            tensors = self._tensors.get(name)
            if isinstance(tensors, AdaptedTensors) and isinstance(source, AdapterSource):
                self._tensors[name] = tensors.on(self._tensors[source.on], {})
            elif tensors is not None:
                self._tensors[name] = with_reference_rows(name, tensors, self.sites, self.reference, self.notes)
        rows = next(site.shape[0] for site in self.sites if site.name == EMBEDDING)
        check_vocabularies(self._paths, self.reference, rows, self.notes)

    def unite(self, tokens: Mapping[str, str]) -> None:
        """Gives every donor a row for each token that any donor has."""
        members = {name: self._member(name, tensors) for name, tensors in self._tensors.items()}
        union = unite(
            {name: member for name, member in members.items() if member.embeddings},
            self.reference,
            self._configs[self.reference],
            tokens,
        )
        for name, source in self._sources.items():
            tensors, embeddings = self._tensors.get(name), union.embeddings.get(name, {})
            if isinstance(tensors, AdaptedTensors) and isinstance(source, AdapterSource):
                self._tensors[name] = tensors.on(self._tensors[source.on], embeddings)
            elif tensors is not None:
                self._tensors[name] = {**tensors, **embeddings}
        self._digests = {
            name: combined_digest(["union", union.folder.name, digest]) for name, digest in self._digests.items()
        }
        self._configs[self.reference] = union.config
        self.sites = _model_sites(union.config)
        self.union_folder = union.folder
        self.notes += union.notes

    def align(self, device: torch.device, said: Callable[[str], None]) -> None:
        """Prepares the aligned donors on ``device``, or reads them from the cache; ``said`` hears of it."""
        for name, source in self._sources.items():
            if not isinstance(source, AlignedSource):
                continue
            with naming(name):
                checkpoint = aligned_checkpoint(
                    self._tensors[source.donor],
                    self._digests[source.donor],
                    self._tensors[source.to],
                    self._digests[source.to],
                    self.sites,
                    self._configs[source.donor],
                    device,
                    partial(said, f"aligning donor {name!r} with {source.to!r} on {device}; it is kept in the cache"),
                )
                self._tensors[name] = checkpoint.open_tensors(site.name for site in self.sites)
            self._digests[name] = checkpoint_digest(checkpoint.path, checkpoint.weight_files)
            self._configs[name] = checkpoint.config
            self._paths[name] = checkpoint.path
            self.notes.append(alignment_note(name, source.to, checkpoint))

    def move(self, dtype: torch.dtype | None) -> None:
        """Copies the donors to the device where they fit; on a CPU the mapped files are the memory."""
        if not _fits(self._tensors, self._device, self.notes):
            return
        for name, source in self._sources.items():
            tensors = self._tensors[name]
            if isinstance(tensors, AdaptedTensors) and isinstance(source, AdapterSource):
                self._tensors[name] = tensors.to(self._tensors[source.on], self._device, dtype)
            else:
                self._tensors[name] = {site: tensor.to(self._device, dtype) for site, tensor in tensors.items()}

    def facts(self, name: str) -> dict[str, Any]:
        """What makes up the donor beside its name."""
        return {
            "path": self._paths[name],
            "digest": self._digests[name],
            "config": self._configs[name],
            "tensors": self._tensors[name],
            "parameters": sum(math.prod(site.shape) for site in self.sites),
        }

    def _checkpoints(self) -> dict[str, Checkpoint]:
        found = {}
        for name, source in self._sources.items():
            if isinstance(source, ModelSource):
                with naming(name):
                    found[name] = open_checkpoint(self._locations[name], _hint(name, self._locations[name]))
        return found

    def _open_model(self, name: str, checkpoint: Checkpoint, expected: Any, finite: bool) -> None:
        check_config(name, checkpoint.config, self.reference, expected, self.notes)
        self._tensors[name] = tensors = model_tensors(name, checkpoint, self.sites, self.reference)
        if finite:
            check_finite(name, checkpoint, list(tensors))
        self._configs[name] = checkpoint.config
        self._digests[name] = checkpoint_digest(checkpoint.path, ["config.json", *checkpoint.weight_files])

    def _open_adapter(self, name: str, source: AdapterSource, finite: bool) -> None:
        location, config = self._locations[name], self._configs[source.on]
        with naming(name):
            adapter = open_adapter(
                self._paths[name], self.sites, _hint(name, location), tied=bool(config.tie_word_embeddings)
            )
        self._tensors[name] = adapted_tensors(name, adapter, self._tensors[source.on], source.on, self.notes)
        if finite:
            check_finite(name, adapter.checkpoint, list(adapter.checkpoint.files))
        self._configs[name] = config
        self._digests[name] = combined_digest(
            ["adapter", checkpoint_digest(self._paths[name], adapter.files), self._digests[source.on]]
        )
        self._note_base(name, source, adapter)

    def _note_base(self, name: str, source: AdapterSource, adapter: Adapter) -> None:
        """Notes an adapter that says it was trained on another hub model."""
        on = self._locations[source.on]
        told = adapter.base_model or ""
        if on.command and locate(told).command and told != on.source.partition("@")[0]:
            self.notes.append(f"donor {name!r} was trained on {told}, {source.on!r} is {on.source}")

    def _member(self, name: str, tensors: Mapping[str, Tensor]) -> Member:
        """A donor's part in a union; without embeddings where it has its base's."""
        source = self._sources[name]
        places = [site.name for site in self.sites if site.name in (EMBEDDING, HEAD)]
        if isinstance(tensors, AdaptedTensors):
            places = [place for place in places if tensors.changes(place)]
        model = name
        while isinstance(source, AdapterSource):
            model, source = source.on, self._sources[source.on]
        folder = self._paths[model]
        return Member(
            self._digests[name],
            folder if has_tokenizer(folder) else self._paths[self.reference],
            {place: tensors[place] for place in places},
            adapts=model != name,
        )


def _model_sites(config: Any) -> tuple[Site, ...]:
    return tuple(sites_of(config, expected_shapes(config)))


def _located(spec: Mapping[str, Any]) -> tuple[dict[str, Source], dict[str, Location]]:
    """Sources in the order of their needs, and where those that are files lie."""
    sources = parse_sources({name: str(entry) if isinstance(entry, Path) else entry for name, entry in spec.items()})
    locations = {
        name: locate(source.place) for name, source in sources.items() if not isinstance(source, AlignedSource)
    }
    missing = {name: location for name, location in locations.items() if location.path is None}
    if missing:
        raise DonorError(_missing_line(missing))
    for name, source in sources.items():
        path = locations[name].path if name in locations else None
        if isinstance(source, ModelSource) and path is not None and is_adapter(path):
            if name == BASE:
                raise DonorError(f"donor {name!r}: {path} holds a LoRA adapter; name the model that it was trained on")
            sources[name] = AdapterSource(source.place, BASE)
    sources = ordered(sources)
    for name, source in sources.items():
        if isinstance(source, AdapterSource) and isinstance(sources[source.on], AlignedSource):
            raise DonorError(
                f"donor {name!r} ({source}): {source.on!r} is an aligned donor, whose units are in another order than "
                "in training; put the adapter on the donor itself and align the result"
            )
    return sources, locations


def _reference(names: Sequence[str], sources: Mapping[str, Source]) -> str:
    models = [name for name in names if isinstance(sources[name], ModelSource)]
    return BASE if BASE in models else models[0]


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


def _fits(donors: Mapping[str, Mapping[str, Tensor]], device: torch.device, notes: list[str]) -> bool:
    """Whether all donors can stay in the memory of ``device``; on a CPU the mapped files are that memory."""
    if device.type != "cuda":
        return device.type != "cpu"
    needed = sum(_stored_bytes(tensors) for tensors in donors.values())
    free, _ = torch.cuda.mem_get_info(device)
    if needed <= _RESIDENT_SHARE * free:
        return True
    notes.append(
        f"the donors need {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free on {device}: they stay on disk and "
        "are streamed, which makes each merge slower"
    )
    return False


def _stored_bytes(tensors: Mapping[str, Tensor]) -> int:
    return tensors.nbytes if isinstance(tensors, AdaptedTensors) else sum(t.nbytes for t in tensors.values())
