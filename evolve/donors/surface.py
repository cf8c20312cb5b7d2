"""The text that each token of a tokenizer stands for, comparable between tokenizers of different kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.donors.vocabulary import load_tokenizer
from evolve.errors import DonorError

# The text of a token, or its bytes where they are no whole text (a part of a character).
Surface = str | bytes

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's tokens: ``surfaces`` by id, ``ids`` by surface (the lowest one), ``raw`` names by surface.

    ``special`` are the surfaces of control tokens, such as ``</s>``.
    """

    surfaces: Mapping[int, Surface]
    ids: Mapping[Surface, int]
    raw: Mapping[str, Surface]
    special: frozenset[Surface]


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of the tokenizer in a folder. Raises DonorError for one that cannot be read."""
    return vocabulary_of(load_tokenizer(folder), folder)


def vocabulary_of(tokenizer: Any, folder: Path) -> Vocabulary:
    """The vocabulary of a loaded tokenizer; ``folder`` is for the message of DonorError."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise DonorError(
            f"the tokenizer in {folder} has no tokenizer.json, which a union of vocabularies needs; load and save it "
            "once with AutoTokenizer"
        )
    table = json.loads(backend.to_str())
    added = tokenizer.added_tokens_decoder
    kinds = _Kinds.of(table)
    surfaces = {
        number: str(added[number].content) if number in added else kinds.surface(token)
        for token, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    }
    ids: dict[Surface, int] = {}
    for number, surface in surfaces.items():
        ids.setdefault(surface, number)
    raw = {token: surfaces[number] for token, number in tokenizer.get_vocab().items()}
    special = frozenset(surfaces[number] for number, token in added.items() if token.special and number in surfaces)
    return Vocabulary(surfaces, ids, raw, special)


@dataclass(frozen=True)
class _Kinds:
    """How a tokenizer writes bytes and spaces in its vocabulary."""

    byte_level: bool
    space: str | None
    byte_fallback: bool

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> _Kinds:
        parts = [*_parts(table.get("decoder"), "decoders"), *_parts(table.get("pre_tokenizer"), "pretokenizers")]
        space = None
        for part in parts:
            if part["type"] == "Metaspace":
                space = str(part["replacement"])
            elif part["type"] == "Replace" and part.get("content") == " " and "String" in part["pattern"]:
                space = str(part["pattern"]["String"])
        types = {part["type"] for part in parts}
        return cls("ByteLevel" in types, space, "ByteFallback" in types)

    def surface(self, token: str) -> Surface:
        if self.byte_level:
            if any(character not in _BYTES for character in token):
                return token
            data = bytes(_BYTES[character] for character in token)
            try:
                return data.decode("utf-8")
            except UnicodeDecodeError:
                return data
        if self.byte_fallback and (match := _BYTE.fullmatch(token)):
            return bytes([int(match[1], 16)])
        return token.replace(self.space, " ") if self.space else token


def _parts(table: Mapping[str, Any] | None, inner: str) -> Iterator[Mapping[str, Any]]:
    if table is None:
        return
    if table["type"] == "Sequence":
        for part in table[inner]:
            yield from _parts(part, inner)
    else:
        yield table


def _byte_alphabet() -> dict[str, int]:
    """The character that byte-level tokenizers write for each byte: itself where it prints, else one from 256 on."""
    prints = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in prints]
    return {chr(byte): byte for byte in prints} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTES = _byte_alphabet()
