"""Checks that donors mean the same token by the same row of their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from evolve.donors.checkpoint import one_line
from evolve.errors import DonorError

FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
# All that a tokenizer may read.
TOKENIZER_FILES = (
    *FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
# Fine-tunes rename a few tokens (<pad>, <|im_end|>); a different tokenizer disagrees almost everywhere.
_TOLERATED_SHARE = 0.01


def check_vocabularies(folders: Mapping[str, Path], reference: str, rows: int, notes: list[str]) -> None:
    """Compares every donor's tokenizer with that of ``reference`` on the token ids below ``rows``.

    Donors without tokenizer files are taken to share it. A few differing tokens are added to ``notes``. Raises
    DonorError for a different vocabulary.
    """
    expected: dict[int, str] | None = None
    for name, folder in folders.items():
        if name == reference or not has_tokenizer(folder) or _same_file(folder, folders[reference]):
            continue
        if not has_tokenizer(folders[reference]):
            return
        if expected is None:
            expected = _tokens(folders[reference], rows)
        _compare(name, _tokens(folder, rows), reference, expected, notes)


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FILES)


def _same_file(folder: Path, other: Path) -> bool:
    for name in FILES:
        mine, theirs = folder / name, other / name
        if mine.is_file() or theirs.is_file():
            return mine.is_file() and theirs.is_file() and mine.read_bytes() == theirs.read_bytes()
    return False


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder. Raises DonorError."""
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise DonorError(
            f"the tokenizer in {folder} cannot be read: {one_line(error)}; take another copy of its files"
        ) from error


def _tokens(folder: Path, rows: int) -> dict[int, str]:
    return {number: token for token, number in load_tokenizer(folder).get_vocab().items() if number < rows}


def _compare(
    name: str, tokens: Mapping[int, str], reference: str, expected: Mapping[int, str], notes: list[str]
) -> None:
    shared = tokens.keys() & expected.keys()
    different = sorted(number for number in shared if tokens[number] != expected[number])
    if not different:
        return
    first = different[0]
    example = f"token {first} is {tokens[first]!r} in {name!r} and {expected[first]!r} in {reference!r}"
    if len(different) > _TOLERATED_SHARE * len(shared):
        raise DonorError(
            f"donor {name!r} has another vocabulary than {reference!r}: {len(different)} of {len(shared)} tokens "
            f'differ ({example}); merge models of one tokenizer, or set vocabulary = "union" in the profile'
        )
    notes.append(f"donor {name!r}: {len(different)} of {len(shared)} tokens differ from {reference!r} ({example})")
