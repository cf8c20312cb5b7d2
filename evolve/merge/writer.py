"""Writes a checkpoint in shards whose layout is known before the first tensor is."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from evolve.donors.checkpoint import INDEX, SINGLE
from evolve.donors.tensor_file import DTYPES, safetensors_head
from evolve.errors import RunError

_BLOCK_BYTES = 2**22


class _Place(NamedTuple):
    """Where a tensor lies: its file's number, its first byte there, its bytes."""

    shard: int
    start: int
    size_bytes: int


class ShardedWriter:
    """Safetensors files in ``folder`` that receive their tensors in any order; nothing but the tensor at hand is kept.

    ``shapes`` are the tensors in the order of the files, all of ``dtype``; a shard holds up to ``shard_bytes`` of them,
    or one tensor. To be used as a context manager; leaving it closes the files.
    """

    def __init__(
        self, folder: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, shard_bytes: int
    ) -> None:
        self.dtype = dtype
        self.total_bytes = 0
        self._folder = folder
        self._shapes = dict(shapes)
        self._places: dict[str, _Place] = {}
        self._digests: dict[str, str] = {}
        self._files: list[BinaryIO] = []
        shards = self._split(shard_bytes)
        count = len(shards)
        self.names = [SINGLE] if count == 1 else [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
        try:
            for number, names in enumerate(shards):
                self._begin(number, names)
        except OSError:
            self.__exit__()
            raise
        if count > 1:
            index = {name: self.names[place.shard] for name, place in self._places.items()}
            document = {"metadata": {"total_size": self.total_bytes}, "weight_map": dict(sorted(index.items()))}
            (folder / INDEX).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def __enter__(self) -> ShardedWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def write(self, name: str, tensor: Tensor) -> int:
        """Writes a tensor, rounded once to the writer's dtype; the bytes written. Threads may write side by side."""
        place = self._places[name]
        if tuple(tensor.shape) != self._shapes[name]:
            raise ValueError(f"{name} of shape {tuple(tensor.shape)} does not fit {self._shapes[name]}")
        data = tensor.detach().to("cpu", self.dtype).contiguous().reshape(-1).view(torch.uint8).numpy().data
        done = 0
        while done < place.size_bytes:  # the system takes at most 2 GiB at a time
            done += os.pwrite(self._files[place.shard].fileno(), data[done:], place.start + done)
        self._digests[name] = hashlib.blake2b(data).hexdigest()
        return place.size_bytes

    def verify(self) -> None:
        """Brings everything to the disk, reads it back and compares. Raises RunError where other bytes come back, or
        where a tensor was never written."""
        for file in self._files:
            os.fsync(file.fileno())
        buffer = bytearray(_BLOCK_BYTES)
        for number, name in enumerate(self.names):
            members = [(key, place) for key, place in self._places.items() if place.shard == number]
            with (self._folder / name).open("rb", buffering=0) as handle:
                for key, place in members:
                    if _digest(handle, place, buffer) != self._digests.get(key):
                        raise RunError(
                            f"{self._folder / name} failed its check: {key} holds other numbers than computed"
                        )

    def _split(self, shard_bytes: int) -> list[list[str]]:
        shards: list[list[str]] = []
        filled = 0
        for name in self._shapes:
            size = self._size(name)
            if not shards or filled + size > shard_bytes:
                shards.append([])
                filled = 0
            shards[-1].append(name)
            filled += size
            self.total_bytes += size
        return shards

    def _begin(self, number: int, names: list[str]) -> None:
        """Makes a file of full size with its table."""
        head, places = safetensors_head({name: self._shapes[name] for name in names}, self.dtype, {"format": "pt"})
        for name, (start, end) in places.items():
            self._places[name] = _Place(number, start, end - start)
        file = (self._folder / self.names[number]).open("wb")
        self._files.append(file)
        file.write(head)
        file.flush()
        file.truncate(max(end for _, end in places.values()))

    def _size(self, name: str) -> int:
        return math.prod(self._shapes[name]) * self.dtype.itemsize


def _digest(handle: BinaryIO, place: _Place, buffer: bytearray) -> str:
    found = hashlib.blake2b()
    handle.seek(place.start)
    left = place.size_bytes
    while left:
        count = handle.readinto(memoryview(buffer)[: min(left, len(buffer))])  # type: ignore[attr-defined]
        if not count:
            break
        found.update(memoryview(buffer)[:count])
        left -= count
    return found.hexdigest()


class TensorFile:
    """A safetensors file whose tensors are read into memory, not mapped: what has been used can be given back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            self._table = json.loads(handle.read(length))
        self._start = 8 + length

    def read(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The first rows of a tensor, as many as ``shape`` has, in the file's dtype."""
        entry = self._table[name]
        dtype = next(dtype for dtype, text in DTYPES.items() if text == entry["dtype"])
        if tuple(entry["shape"][1:]) != shape[1:] or entry["shape"][0] < shape[0]:
            raise RunError(f"{name} in {self._path} has shape {entry['shape']}, expected {list(shape)}; it was changed")
        count = math.prod(shape) * dtype.itemsize
        data = np.fromfile(self._path, np.uint8, count, offset=self._start + entry["data_offsets"][0])
        return torch.from_numpy(data).view(dtype).reshape(shape)
