"""Where donors come from: what the table ``[profiles.NAME.donors]`` of problem.toml may say of one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from evolve.errors import DonorError


@dataclass(frozen=True)
class ModelSource:
    """A model, or an adapter on the donor called ``base``: its folder or hub id (``org/name`` or ``org/name@rev``)."""

    place: str

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def __str__(self) -> str:
        return self.place


@dataclass(frozen=True)
class AdapterSource:
    """The LoRA adapter in a folder or under a hub id, on another donor."""

    place: str
    on: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.on,)

    def __str__(self) -> str:
        return f"adapter {self.place} on {self.on}"


@dataclass(frozen=True)
class AlignedSource:
    """A donor with its hidden units permuted so that they match those of the donor ``to``."""

    donor: str
    to: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.donor, self.to)

    def __str__(self) -> str:
        return f"{self.donor} aligned to {self.to}"


Source = ModelSource | AdapterSource | AlignedSource

# Whose tokens the merged model has: the reference donor's or all donors'.
VOCABULARIES = ("reference", "union")

_TABLES: Mapping[frozenset[str], type[AdapterSource] | type[AlignedSource]] = {
    frozenset({"adapter", "on"}): AdapterSource,
    frozenset({"align", "to"}): AlignedSource,
}
_FORMS = 'a folder or hub id, { adapter = "PLACE", on = "DONOR" } or { align = "DONOR", to = "DONOR" }'


def parse_sources(entries: Mapping[str, Any]) -> dict[str, Source]:
    """The sources of all donors by name, each after those it needs. Raises DonorError."""
    return ordered({name: _source(name, entry) for name, entry in entries.items()})


def ordered(sources: Mapping[str, Source]) -> dict[str, Source]:
    """The sources, each after those it needs. Raises DonorError where one needs what is not there, or itself."""
    for name, source in sources.items():
        for needed in source.needs:
            if needed not in sources:
                raise DonorError(f"donor {name!r} ({source}) needs a donor {needed!r}; {_nearest(needed, sources)}")
    try:
        order = list(TopologicalSorter({name: source.needs for name, source in sources.items()}).static_order())
    except CycleError as error:
        name = str(error.args[1][0])
        raise DonorError(f"donor {name!r} ({sources[name]}) is made from itself; name another donor") from None
    return {name: sources[name] for name in order}


def described(entry: Any) -> str:
    """An entry of the table in words, such as ``adapter lora/ja on base``."""
    return str(_source("", entry))


def place_of(entry: Any) -> str | None:
    """The folder or hub id that an entry names; None for an aligned donor, which is made from others."""
    source = _source("", entry)
    return None if isinstance(source, AlignedSource) else source.place


def with_place(entry: Any, place: str) -> Any:
    """The entry with its folder or hub id exchanged; an aligned donor becomes the model at that place."""
    return {**entry, "adapter": place} if isinstance(_source("", entry), AdapterSource) else place


def _source(name: str, entry: Any) -> Source:
    if isinstance(entry, str):
        return ModelSource(entry)
    if not isinstance(entry, Mapping) or not all(isinstance(value, str) for value in entry.values()):
        raise DonorError(f"donor {name!r} must be {_FORMS}, not {entry!r}")
    kind = _TABLES.get(frozenset(entry))
    if kind is None:
        raise DonorError(f"donor {name!r} has the keys {', '.join(sorted(entry)) or 'none'}; it must be {_FORMS}")
    first, second = entry.get("adapter", entry.get("align")), entry.get("on", entry.get("to"))
    return kind(str(first), str(second))


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"the donors are {', '.join(names)}"
