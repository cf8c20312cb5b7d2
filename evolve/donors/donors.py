"""Loads the donors of a merge and checks that they fit each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evolve.donors.loading import Loading, expected_shapes
from evolve.errors import DonorError
from evolve.site import Site
from evolve.sources import VOCABULARIES

__all__ = ["Donor", "Donors", "SiteTensors", "expected_shapes", "load_donors"]


@dataclass(frozen=True)
class Donor:
    """One source model: ``tensors`` maps every site's name to its parameter, in the checkpoint's dtype.

    An adapter's are computed when they are asked for, those it changes in float32. ``parameters`` counts the numbers
    of the whole model.
    """

    name: str
    path: Path
    digest: str
    config: Any
    tensors: Mapping[str, Tensor]
    parameters: int

    @property
    def layers(self) -> int:
        return int(self.config.num_hidden_layers)


class SiteTensors(Mapping[str, Tensor]):
    """Every donor's tensor of one site, fetched when it is first asked for: an adapter nobody reads costs nothing."""

    def __init__(self, donors: Mapping[str, Donor], site: str) -> None:
        self._donors, self._site = donors, site
        self._fetched: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._fetched:
            self._fetched[name] = self._donors[name].tensors[self._site]
        return self._fetched[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._donors)

    def __len__(self) -> int:
        return len(self._donors)


@dataclass(frozen=True)
class Donors(Mapping[str, Donor]):
    """The donors of a merge by name, all with the same sites and shapes.

    ``reference`` gives the architecture and whatever is not merged. ``notes`` are facts a user should see: settings in
    which donors differ, vocabulary rows left out, donors that stay on disk. ``tokenizer`` is the folder of the
    tokenizer that fits the sites, the reference's or that of a union.
    """

    donors: Mapping[str, Donor]
    reference: Donor
    sites: tuple[Site, ...]
    notes: tuple[str, ...] = field(default=())
    union: Path | None = None

    def __getitem__(self, name: str) -> Donor:
        return self.donors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.donors)

    def __len__(self) -> int:
        return len(self.donors)

    @property
    def tokenizer(self) -> Path:
        return self.union or self.reference.path

    def tensors_of(self, site: str) -> Mapping[str, Tensor]:
        """Every donor's tensor of one site."""
        return SiteTensors(self.donors, site)

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
    spec: Mapping[str, Any],
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    vocabulary: str = "reference",
    tokens: Mapping[str, str] | None = None,
    finite: bool = True,
    aligned_on: str | torch.device | None = None,
    said: Callable[[str], None] | None = None,
) -> Donors:
    """Loads every donor of ``spec`` and checks that they can be merged.

    ``spec`` maps names to a folder, a hub id or a table (see evolve.sources). The donor called ``base``, else the first
    model, gives architecture and sites. Tensors are mapped from their files on a CPU and copied once to another device
    (converted to ``dtype`` if given); where they would not fit there they stay mapped. With the ``vocabulary``
    ``union`` the sites have rows for every donor's tokens; ``tokens`` then names the donor whose row a token takes.
    ``finite`` looks for NaN and infinity, once per file. ``aligned_on`` is where alignments are computed, ``device``
    unless it is given; ``said`` gets a line before each. Raises DonorError.
    """
    if not spec:
        raise DonorError("the problem names no donors; add a table [profiles.NAME.donors] to problem.toml")
    if vocabulary not in VOCABULARIES:
        raise DonorError(f"vocabulary must be one of {', '.join(VOCABULARIES)}, not {vocabulary!r}")
    loading = Loading(spec, torch.device(device), finite)
    if vocabulary == "union":
        loading.unite(tokens or {})
    else:
        loading.take_reference_vocabulary()
    loading.align(torch.device(aligned_on or device), said or (lambda line: None))
    loading.move(dtype)
    donors = {name: Donor(name, **loading.facts(name)) for name in spec}
    return Donors(donors, donors[loading.reference], loading.sites, tuple(loading.notes), loading.union_folder)
