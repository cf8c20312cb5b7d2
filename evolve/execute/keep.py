"""What is kept from one candidate to the next, within a bound."""

from __future__ import annotations

from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

# The Python objects around a kept number outweigh it.
_OVERHEAD_BYTES = 500


class _Entry(NamedTuple):
    value: Any
    size_bytes: int
    used: int


class Keep:
    """Values by (site, digest) in at most ``limit_bytes``. May be shared between threads.

    Candidates go through all sites in turn, so the least recently used value is the next one to be needed: where there
    is no room, only what the last two candidates did not use makes way, and the rest stays.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: dict[tuple[str, bytes], _Entry] = {}
        self._bytes = 0
        self._candidate = 0
        self._swept = -1
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self._bytes

    def next_candidate(self) -> None:
        """Says that a new candidate begins."""
        with self._lock:
            self._candidate += 1

    def get(self, site: str, digest: bytes) -> Any:
        """The value that was put under this site and digest, or None. Not to be changed."""
        with self._lock:
            entry = self._entries.get((site, digest))
            if entry is None:
                return None
            if entry.used != self._candidate:
                self._entries[site, digest] = entry._replace(used=self._candidate)
            return entry.value

    def put(self, site: str, digest: bytes, value: Any, size_bytes: int) -> None:
        """Keeps a value if there is room; a value that has grown may be put again."""
        size = size_bytes + _OVERHEAD_BYTES
        with self._lock:
            known = self._entries.pop((site, digest), None)
            self._bytes -= known.size_bytes if known else 0
            if self._bytes + size > self._limit_bytes and self._swept != self._candidate:
                self._sweep()
            if self._bytes + size <= self._limit_bytes:
                self._entries[site, digest] = _Entry(value, size, self._candidate)
                self._bytes += size

    def _sweep(self) -> None:
        """Once per candidate: drops what neither this candidate nor the one before has used."""
        self._swept = self._candidate
        old = [key for key, entry in self._entries.items() if entry.used < self._candidate - 1]
        for key in old:
            self._bytes -= self._entries.pop(key).size_bytes


class Frozen(NamedTuple):
    """A small result as it is kept, out of reach of whoever goes on computing with it.

    On a CPU Python's own allocator holds its bytes: as a tensor it would lie in the heap between the blocks that are
    freed around it, and such results left 30 MB of holes in a model of 134 million parameters.
    """

    data: bytes | Tensor
    dtype: torch.dtype
    shape: tuple[int, ...]

    @classmethod
    def of(cls, result: Tensor) -> Frozen:
        """Keeps a copy of a result."""
        on_cpu = result.device.type == "cpu"
        data = result.detach().contiguous().numpy().tobytes() if on_cpu else result.detach().clone()
        return cls(data, result.dtype, tuple(result.shape))

    def tensor(self) -> Tensor:
        """The result, in memory of its own."""
        if isinstance(self.data, Tensor):
            return self.data.clone()
        if not self.data:
            return torch.empty(self.shape, dtype=self.dtype)
        return torch.frombuffer(bytearray(self.data), dtype=self.dtype).reshape(self.shape)
