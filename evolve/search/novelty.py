"""How alike the texts of two programs are, before either is evaluated."""

from __future__ import annotations

import ast
import math
import re
import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evolve.search.digest import normalized

DIMENSIONS = 1024
CAPACITY = 4096
LONGEST_GRAM = 3

Vector = NDArray[np.float32]

_TOKEN = re.compile(r"[^\W\d]\w*|\d[\w.]*(?:(?<=[eE])[+-]\d+)?|\.\d[\w.]*|\n|\S")
_REMOVED = -1


@dataclass(frozen=True)
class Fingerprint:
    """A program's text for comparison: its words as a unit vector (dimensions,), and its numbers in their order."""

    words: Vector
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Neighbour:
    """The most similar program of an index and the cosine, -1..1."""

    id: int
    similarity: float


def fingerprint(source: str, dimensions: int = DIMENSIONS) -> Fingerprint:
    """Hashed grams of one to three tokens of the normalised program.

    Comments, formatting, docstrings and the names of variables do not count. Numbers are left out of the words and kept
    apart: a program that differs from another in a number is another program, however alike the words are. Each gram
    counts with one plus the logarithm of its frequency. Source of the hashing: Weinberger and others 2009,
    arXiv 0902.2206.
    """
    tokens = _TOKEN.findall(_renamed(normalized(source)))
    numbers = tuple(float(value) for token in tokens if (value := _number(token)) is not None)
    words = ["#" if _number(token) is not None else token for token in tokens]
    grams = Counter(
        " ".join(words[start : start + size])
        for size in range(1, LONGEST_GRAM + 1)
        for start in range(len(words) - size + 1)
    )
    vector = np.zeros(dimensions)
    for gram, count in grams.items():
        code = zlib.crc32(gram.encode("utf-8", "replace"))
        # The highest bit is the sign, so that grams that share a place cancel on average.
        vector[code % dimensions] += (1.0 + math.log(count)) * (1.0 if code >> 31 else -1.0)
    return Fingerprint(unit(vector), numbers)


def unit(vector: NDArray[np.float64]) -> Vector:
    """The vector at length one, in float32; zero stays zero."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)


class Index:
    """The last ``capacity`` vectors of one island, searched exactly.

    Vectors have length one; each belongs to a group (0 or more), and only members of the same group are compared.
    """

    def __init__(self, dimensions: int = DIMENSIONS, capacity: int = CAPACITY) -> None:
        self._vectors = np.zeros((0, dimensions), dtype=np.float32)
        self._groups = np.zeros(0, dtype=np.int64)
        self._ids: list[int] = []
        self._capacity = capacity
        self._next = 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, number: int, vector: Vector, group: int = 0) -> None:
        """Remembers a program, in place of the oldest when the index is full."""
        if len(self._ids) < self._capacity:
            self._grow()
            self._ids.append(number)
            row = len(self._ids) - 1
        else:
            row, self._next = self._next, (self._next + 1) % self._capacity
            self._ids[row] = number
        self._vectors[row], self._groups[row] = vector, group

    def remove(self, number: int) -> None:
        """Forgets a program; nothing happens when it is not there."""
        if number in self._ids:
            row = self._ids.index(number)
            self._groups[row] = _REMOVED

    def nearest(self, vector: Vector, group: int = 0) -> Neighbour | None:
        """The member of ``group`` with the largest cosine, the first added of equals; None without any."""
        count = len(self._ids)
        cosines = np.where(self._groups[:count] == group, self._vectors[:count] @ vector, -np.inf)
        if not count or not np.isfinite(cosines).any():
            return None
        row = int(np.argmax(cosines))
        return Neighbour(self._ids[row], float(cosines[row]))

    def _grow(self) -> None:
        size = len(self._groups)
        if len(self._ids) < size:
            return
        larger = min(max(64, 2 * size), self._capacity)
        self._vectors = np.concatenate(
            [self._vectors, np.zeros((larger - size, self._vectors.shape[1]), dtype=np.float32)]
        )
        self._groups = np.concatenate([self._groups, np.zeros(larger - size, dtype=np.int64)])


def _number(token: str) -> float | None:
    if not token[0].isdigit() and not (token[0] == "." and len(token) > 1):
        return None
    try:
        return float(ast.literal_eval(token))
    except (ValueError, SyntaxError, TypeError, OverflowError):
        return None


def _renamed(text: str) -> str:
    """The text with variables numbered in the order in which they are bound; parameters and functions keep their names,
    because callers use them."""
    try:
        tree = ast.parse(text)
        kept = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        bound = dict.fromkeys(name.id for name in names if isinstance(name.ctx, ast.Store) and name.id not in kept)
        new = {name: f"v{index}" for index, name in enumerate(bound)}
        for name in names:
            name.id = new.get(name.id, name.id)
        return ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
