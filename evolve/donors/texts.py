"""The texts that donor statistics are computed on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from evolve.errors import DonorError, ProblemError

Tokens = list[int]


def read_texts(path: Path, items: int) -> list[str]:
    """The ``text`` of the first ``items`` lines of a JSONL file. Raises ProblemError."""
    if not path.is_file():
        raise ProblemError(
            f"the texts for statistics are missing: {path}; write one JSON object a line with a string under "
            '"text", or name another file in [profiles.NAME.statistics]'
        )
    texts: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if len(texts) == items:
                break
            if line.strip():
                texts.append(_text(line, f"{path}, line {number}"))
    if not texts:
        raise ProblemError(f'{path} holds no texts; write one JSON object a line with a string under "text"')
    return texts


def _text(line: str, where: str) -> str:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise ProblemError(f"{where}: no JSON ({error})") from None
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        raise ProblemError(f'{where}: no object with a string under "text"')
    return str(item["text"])


def encode(texts: Sequence[str], tokenizer: Any, max_tokens: int, vocabulary: int) -> list[Tokens]:
    """The token ids of each text, at most ``max_tokens``; texts of a single token have no next one and are left out.

    Raises DonorError where a token has no row among the ``vocabulary`` rows of the embedding.
    """
    encoded = [ids[:max_tokens] for ids in tokenizer(list(texts)).input_ids]
    encoded = [ids for ids in encoded if len(ids) > 1]
    if not encoded:
        raise ProblemError("no text for statistics has two tokens or more; write longer texts")
    highest = max(map(max, encoded))
    if highest >= vocabulary:
        raise DonorError(
            f"the tokenizer makes token {highest}, the donors' embeddings have {vocabulary} rows; name a donor whose "
            'tokenizer fits with tokenizer = "NAME" in the profile of problem.toml'
        )
    return encoded


def in_turn(files: Sequence[Sequence[Tokens]]) -> list[Tokens]:
    """The first text of each file, then the second of each, until all are used."""
    return [text for row in zip_longest(*files) for text in row if text is not None]
