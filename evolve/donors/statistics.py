"""Donor statistics on disk: where they lie, which exist for given donors and texts, and their tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from evolve.donor_statistics import StatisticsSpec
from evolve.donors.donors import Donors
from evolve.donors.sites import EMBEDDING
from evolve.donors.tensor_file import leftovers, write_tensors
from evolve.donors.texts import Tokens, encode, in_turn, read_texts
from evolve.errors import DonorError
from evolve.plan.statistics import STATISTICS
from evolve.resources import cache_folder

# Part of every digest: a change of what a statistic means must not find files of before.
VERSION = 1
_DIGEST_CHARACTERS = 16
_SAME = "same"


class StatisticStore:
    """Files ``folder/<donor digest>/<statistic>-<digest>.safetensors``; each appears whole or not at all.

    ``digests`` gives for each statistic the digest of all that it depends on beside the donor: texts, settings,
    shapes. May be shared between threads; processes may read and write at once.
    """

    def __init__(self, folder: Path, digests: Mapping[str, str]) -> None:
        self.folder = folder
        self._digests = digests
        self._open: dict[Path, tuple[Any, Mapping[str, str]]] = {}

    def path(self, donor_digest: str, name: str) -> Path:
        return self.folder / donor_digest / f"{self.key(name)}.safetensors"

    def key(self, name: str) -> str:
        """The statistic's name and the start of its digest."""
        return f"{name}-{self._digests[name][:_DIGEST_CHARACTERS]}"

    def names(self, donor_digest: str) -> tuple[str, ...]:
        """The statistics that are there for a donor, in alphabetical order."""
        return tuple(name for name in sorted(self._digests) if self.path(donor_digest, name).is_file())

    def read(self, donor_digest: str, name: str, site_name: str) -> Tensor:
        """A donor's statistic at one site, float32 on the CPU. Raises DonorError where there is none."""
        path = self.path(donor_digest, name)
        try:
            if path not in self._open:
                handle: Any = safe_open(path, framework="pt", device="cpu")
                self._open[path] = handle, json.loads((handle.metadata() or {}).get(_SAME, "{}"))
            handle, same = self._open[path]
            tensor: Tensor = handle.get_tensor(same.get(site_name, site_name))
        except FileNotFoundError:
            raise DonorError(f"{path} does not exist; make it with `evolve donors PROBLEM --prepare`") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise DonorError(
                f"{path} holds no {name} of {site_name} ({' '.join(str(error).split())[:200]}); remove it and make it "
                "again with `evolve donors PROBLEM --prepare`"
            ) from None
        return tensor

    def write(self, donor_digest: str, name: str, tensors: Mapping[str, Tensor]) -> Path:
        """Keeps a statistic of all sites (site name to tensor) and returns its file."""
        shapes = {site: tuple(tensor.shape) for site, tensor in tensors.items()}
        return self.write_stream(donor_digest, name, shapes, tensors.items())

    def write_stream(
        self,
        donor_digest: str,
        name: str,
        shapes: Mapping[str, tuple[int, ...]],
        tensors: Iterable[tuple[str, Tensor]],
        same: Mapping[str, str] | None = None,
    ) -> Path:
        """As ``write``, from (site name, tensor) pairs in the order of ``shapes``, one in memory at a time.

        ``same`` maps further sites to those whose tensor is theirs too. What killed writers left is removed, so two
        processes must not write one file at once: hold a lock on ``key(name)``.
        """
        path = self.path(donor_digest, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in leftovers(path):
            left.unlink(missing_ok=True)
        write_tensors(path, shapes, tensors, {_SAME: json.dumps(dict(same))} if same else None)
        return path


class DonorStatistics:
    """The statistics of donors on a profile's texts; called with (donor, statistic, site), it gives the tensor.

    ``texts`` are each donor's own, ``unlabelled`` those that AdaMerging learns from.
    """

    def __init__(self, donors: Donors, tokenizer: Any, spec: StatisticsSpec) -> None:
        """Reads and encodes the texts. Raises ProblemError or DonorError."""
        self.donors = donors
        self.spec = spec
        self.folder = cache_folder() / "statistics"
        own = {name: spec.own_file(name) for name in donors}
        rows = next(site.shape[0] for site in donors.sites if site.name == EMBEDDING)
        read = {
            file: encode(read_texts(Path(file), spec.items), tokenizer, spec.max_tokens, rows)
            for file in dict.fromkeys((*own.values(), *spec.unlabelled_files()))
        }
        self.texts: dict[str, list[Tokens]] = {name: read[file] for name, file in own.items()}
        self.unlabelled: list[Tokens] = in_turn([read[file] for file in spec.unlabelled_files()])
        self._stores = _stores(self)

    def __call__(self, donor: str, name: str, site_name: str) -> Tensor:
        return self.store(donor).read(self.donors[donor].digest, name, site_name)

    def store(self, donor: str) -> StatisticStore:
        """Where the statistics of a donor lie. Donors differ, as the digests cover the texts that each one read."""
        return self._stores[donor]

    def names(self, donor: str) -> tuple[str, ...]:
        """The statistics that are there for a donor, by its name."""
        return self.store(donor).names(self.donors[donor].digest)

    def wanted(self, donor: str) -> tuple[str, ...]:
        """The statistics that can be made for a donor: the base of AdaMerging has no coefficient."""
        base = donor == self.donors.reference.name
        return tuple(name for name in sorted(STATISTICS) if not (base and name == "adamerging"))


def _stores(statistics: DonorStatistics) -> dict[str, StatisticStore]:
    """By donor, with what each statistic depends on beside it. AdaMerging's coefficients depend on all donors."""
    donors = statistics.donors
    shapes = [[site.name, list(site.shape)] for site in donors.sites]
    others = sorted(donor.digest for name, donor in donors.items() if name != donors.reference.name)
    settings = statistics.spec.to_dict()["adamerging"]
    unlabelled = _digest([VERSION, shapes, statistics.unlabelled])
    learned = _digest([unlabelled, settings, donors.reference.digest, others])
    stores = {}
    for name, texts in statistics.texts.items():
        own = _digest([VERSION, shapes, texts])
        stores[name] = StatisticStore(statistics.folder, {"adamerging": learned, "fisher": own, "gram": own})
    return stores


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
