"""Per-item outcomes as a compact blob.

The first byte names the form: ``b`` one bit per item (all outcomes are 0 or 1, first item in the lowest bit of the
first byte), ``f`` little-endian float32 (all outcomes survive it), ``d`` little-endian float64.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

_BITS = tuple(tuple(float(byte >> place & 1) for place in range(8)) for byte in range(256))


def pack(outcomes: Sequence[float]) -> bytes | None:
    """The blob of the outcomes, None when there are none; ``unpack`` gives back exactly the same numbers."""
    values = [float(value) for value in outcomes]
    if not values:
        return None
    if values.count(0.0) + values.count(1.0) == len(values):
        digits = "".join(["1" if value else "0" for value in reversed(values)])
        return b"b" + int(digits, 2).to_bytes((len(values) + 7) // 8, "little")
    short = struct.pack(f"<{len(values)}f", *values)
    if list(struct.unpack(f"<{len(values)}f", short)) == values:
        return b"f" + short
    return b"d" + struct.pack(f"<{len(values)}d", *values)


def unpack(blob: bytes | None, items: int) -> tuple[float, ...]:
    """The outcomes of ``items`` items, in the order of the split's file."""
    if blob is None:
        return ()
    form, body = blob[:1], blob[1:]
    if form == b"b":
        return tuple(chain.from_iterable(map(_BITS.__getitem__, body)))[:items]
    return struct.unpack(f"<{items}{form.decode('ascii')}", body)
