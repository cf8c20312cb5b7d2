"""One vocabulary for donors whose tokenizers differ: the reference's tokens and those that the others add.

The reference's ids stay. A token that a donor lacks takes the row of its only owner, else the reference's, else the
mean of those that have it, else the mean of the donor's own rows; so do rows that belong to no token. A token with a
donor of its own takes that donor's row in every donor.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AddedToken

from evolve.donors.checkpoint import Checkpoint
from evolve.donors.digest import file_digest
from evolve.donors.prepared import prepared_folder
from evolve.donors.sites import EMBEDDING
from evolve.donors.surface import Vocabulary, read_vocabulary, vocabulary_of
from evolve.donors.vocabulary import TOKENIZER_FILES, has_tokenizer, load_tokenizer
from evolve.errors import DonorError

_EMBEDDINGS = "embeddings.safetensors"
_FACTS = "union.json"
# Counts up when the same donors would be united in another way.
_VERSION = 1


@dataclass(frozen=True)
class Member:
    """A donor of a union: the folder of the tokenizer that its rows follow, and its embedding and head by site.

    Of an adapter only the ones that it changes; ``adapts`` is True, and its rows are nobody else's.
    """

    digest: str
    tokenizer: Path
    embeddings: Mapping[str, Tensor]
    adapts: bool = False


@dataclass(frozen=True)
class Union:
    """The prepared union: ``folder`` holds tokenizer and configuration, ``embeddings`` are by donor and site."""

    folder: Path
    config: Any
    embeddings: Mapping[str, Mapping[str, Tensor]]
    notes: tuple[str, ...]


def unite(members: Mapping[str, Member], reference: str, config: Any, choices: Mapping[str, str]) -> Union:
    """The union of the members' vocabularies, made at the first call and read from the cache afterwards.

    ``config`` is the reference's; ``choices`` names the donor whose row a token takes. Raises DonorError.
    """
    folder = prepared_folder(
        "unions",
        [
            _VERSION,
            reference,
            [[name, m.digest, _tokenizer_digest(m.tokenizer)] for name, m in members.items()],
            choices,
        ],
        lambda folder: _make(folder, members, reference, config, choices),
    )
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    united = copy.deepcopy(config)
    united.vocab_size = facts["rows"]
    stored = {f"{name}/{site}": (name, site) for name, member in members.items() for site in member.embeddings}
    files = dict.fromkeys(stored, _EMBEDDINGS)
    checkpoint = Checkpoint(folder, united, files, f"remove the folder {folder}, it is then made again")
    embeddings: dict[str, dict[str, Tensor]] = {name: {} for name in members}
    for key, tensor in checkpoint.open_tensors(stored).items():
        name, site = stored[key]
        embeddings[name][site] = tensor
    return Union(folder, united, embeddings, tuple(facts["notes"]))


def _tokenizer_digest(folder: Path) -> list[list[str]]:
    return [[name, file_digest(folder / name)] for name in TOKENIZER_FILES if (folder / name).is_file()]


def _make(folder: Path, members: Mapping[str, Member], reference: str, config: Any, choices: Mapping[str, str]) -> None:
    notes: list[str] = []
    read: dict[Path, Vocabulary] = {}
    for name, member in members.items():
        if member.tokenizer not in read:
            if not has_tokenizer(member.tokenizer):
                raise DonorError(
                    f"donor {name!r} has no tokenizer in {member.tokenizer}, which a union of vocabularies needs; put "
                    'its tokenizer.json there or set vocabulary = "reference"'
                )
            read[member.tokenizer] = read_vocabulary(member.tokenizer)
    vocabularies = {name: read[member.tokenizer] for name, member in members.items()}
    united = _write_tokenizer(folder, members, vocabularies, reference, notes)
    rows = max(members[reference].embeddings[EMBEDDING].shape[0], max(united.surfaces) + 1)
    layout = _Layout(members, vocabularies, united, reference, rows, _chosen(choices, members, vocabularies, united))
    tensors = {
        f"{name}/{site}": layout.embedding(name, site) for name, member in members.items() for site in member.embeddings
    }
    save_file(tensors, folder / _EMBEDDINGS, metadata={"format": "pt"})
    (folder / _FACTS).write_text(json.dumps({"rows": rows, "notes": notes}), encoding="utf-8")
    changed = copy.deepcopy(config)
    changed.vocab_size = rows
    changed.save_pretrained(folder)


def _write_tokenizer(
    folder: Path,
    members: Mapping[str, Member],
    vocabularies: Mapping[str, Vocabulary],
    reference: str,
    notes: list[str],
) -> Vocabulary:
    """Saves the reference's tokenizer with the others' tokens added, and reads back what became of it."""
    tokenizer = load_tokenizer(members[reference].tokenizer)
    known = dict.fromkeys(vocabularies[reference].ids)
    added: list[str] = []
    for name, member in members.items():
        if member.adapts or name == reference:
            continue
        vocabulary, rows = vocabularies[name], member.embeddings[EMBEDDING].shape[0]
        fresh = [surface for number, surface in vocabulary.surfaces.items() if number < rows and surface not in known]
        # Part of a character, or nothing: no text contains it.
        words = [surface for surface in dict.fromkeys(fresh) if isinstance(surface, str) and surface]
        tokenizer.add_tokens([AddedToken(word, normalized=False, special=word in vocabulary.special) for word in words])
        known.update(dict.fromkeys(words))
        added += words
        if fresh:
            left = len(fresh) - len(words)
            without = f"; {left} that are part of a character are left out" if left else ""
            notes.append(f"vocabulary: {len(words)} tokens of {name!r} are added to those of {reference!r}{without}")
    tokenizer.save_pretrained(folder)
    reloaded = load_tokenizer(folder)
    united = vocabulary_of(reloaded, folder)
    for number, surface in vocabularies[reference].surfaces.items():
        if united.surfaces.get(number) != surface:
            raise DonorError(
                f"the tokenizer of {reference!r} does not keep its ids when tokens are added (token {number}, "
                f"{surface!r}); save it once with save_pretrained() and name that copy"
            )
    if added:
        encoded = reloaded(added, add_special_tokens=False)["input_ids"]
        lost = [word for word, ids in zip(added, encoded, strict=True) if ids != [united.ids[word]]]
        if lost:
            notes.append(f"vocabulary: {len(lost)} added tokens cannot be reached from text, such as {lost[0]!r}")
    return united


def _chosen(
    choices: Mapping[str, str],
    members: Mapping[str, Member],
    vocabularies: Mapping[str, Vocabulary],
    united: Vocabulary,
) -> dict[int, tuple[str, int]]:
    """Donor and row by id of the union, for each token that has a donor of its own.

    Tokens are named by their text or as the donor's vocabulary spells them.
    """
    found: dict[int, tuple[str, int]] = {}
    for token, name in choices.items():
        if name not in members or members[name].adapts:
            models = ", ".join(known for known, member in members.items() if not member.adapts)
            raise DonorError(
                f"the token {token!r} is to come from {name!r}, which is no model among the donors: {models}"
            )
        vocabulary = vocabularies[name]
        surface = token if token in vocabulary.ids else vocabulary.raw.get(token)
        row = None if surface is None else vocabulary.ids[surface]
        if surface is None or row is None or row >= members[name].embeddings[EMBEDDING].shape[0]:
            raise DonorError(f"the token {token!r} is to come from {name!r}, whose vocabulary has no such token")
        if surface not in united.ids:
            raise DonorError(
                f"the token {token!r} of {name!r} is part of a character and cannot be added; leave it out"
            )
        found[united.ids[surface]] = (name, row)
    return found


class _Layout:
    """Which row of which donor goes where."""

    def __init__(
        self,
        members: Mapping[str, Member],
        vocabularies: Mapping[str, Vocabulary],
        united: Vocabulary,
        reference: str,
        rows: int,
        chosen: Mapping[int, tuple[str, int]],
    ) -> None:
        self._members, self._rows, self._chosen = members, rows, chosen
        self._own = {name: _own_rows(member, vocabularies[name], united) for name, member in members.items()}
        self._givers: dict[int, list[str]] = {}
        models = [name for name, member in members.items() if not member.adapts]
        for number in united.surfaces:
            owners = [name for name in models if number in self._own[name]]
            self._givers[number] = [reference] if reference in owners and len(owners) > 1 else owners
        self._fallbacks: dict[str, Tensor] = {}

    def embedding(self, name: str, site: str) -> Tensor:
        """The donor's rows in the union's order, in the donor's dtype."""
        tensor = self._members[name].embeddings[site]
        own = self._own[name]
        mean = tensor[list(own.values())].float().mean(dim=0)
        result = mean.repeat(self._rows, 1)
        given = [number for number, givers in self._givers.items() if givers]
        result[given] = self._fallback(site)[given]
        result[list(own)] = tensor[list(own.values())].float()
        for number, (giver, row) in self._chosen.items():
            result[number] = self._members[giver].embeddings[site][row].float()
        return result.to(tensor.dtype)

    def _fallback(self, site: str) -> Tensor:
        """For every token the mean of its givers' rows: (rows, width) float32."""
        if site not in self._fallbacks:
            width = next(iter(self._members.values())).embeddings[site].shape[1]
            total, count = torch.zeros(self._rows, width), torch.zeros(self._rows, 1)
            for name in [name for name, member in self._members.items() if not member.adapts]:
                numbers = [number for number in self._own[name] if name in self._givers[number]]
                rows = [self._own[name][number] for number in numbers]
                total[numbers] += self._members[name].embeddings[site][rows].float()
                count[numbers] += 1
            self._fallbacks[site] = total / count.clamp(min=1)
        return self._fallbacks[site]


def _own_rows(member: Member, vocabulary: Vocabulary, united: Vocabulary) -> dict[int, int]:
    """Row of the donor by id of the union."""
    rows = next(iter(member.embeddings.values())).shape[0]
    found = {}
    for number, surface in united.surfaces.items():
        # Two tokens of one vocabulary may stand for the same text: an id that means the same in both stays.
        row = number if vocabulary.surfaces.get(number) == surface else vocabulary.ids.get(surface)
        if row is not None and row < rows:
            found[number] = row
    return found
