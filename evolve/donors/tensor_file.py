"""Writes a safetensors file tensor by tensor, so that files larger than the memory can be made."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_ALIGNMENT = 8


def write_tensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Iterable[tuple[str, Tensor]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes float32 ``tensors``, pairs in the order of ``shapes``, to a file that appears whole or not at all.

    Only one tensor at a time needs to be in memory. Raises ValueError for a tensor that is not the next of ``shapes``.
    """
    # A killed process leaves only this name, which nobody reads and `leftovers` finds.
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with unfinished.open("wb") as file:
            file.write(safetensors_head(shapes, torch.float32, metadata or {})[0])
            expected = iter(shapes.items())
            for name, tensor in tensors:
                if (name, tuple(tensor.shape)) != next(expected, None):
                    raise ValueError(f"{name} of shape {tuple(tensor.shape)} is not the next tensor of {path.name}")
                plain = tensor.detach().to("cpu", torch.float32).contiguous()
                file.write(plain.numpy().data)
            if (missing := next(expected, None)) is not None:
                raise ValueError(f"{path.name} lacks {missing[0]}")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def leftovers(path: Path) -> list[Path]:
    """What killed processes left of a file that ``write_tensors`` writes."""
    return list(path.parent.glob(f".{path.name}.*"))


def safetensors_head(
    shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The start of a file: the length of the table as eight bytes, then the table: dtype, shape, place of each tensor.

    Beside it first byte and end of every tensor, counted from the start of the file.
    """
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    places = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + dtype.itemsize * math.prod(shape)
        table[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        places[name] = start, end
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    head = len(text).to_bytes(8, "little") + text
    return head, {name: (start + len(head), end + len(head)) for name, (start, end) in places.items()}
