"""Order statistics that outlive a candidate: tables that give any k-th smallest number of a tensor exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

import numpy
import torch
from torch import Tensor

from evolve.execute.native import order
from evolve.execute.scratch import scratch

Stream = Callable[[], Iterable[Tensor]]
"""Gives the tensor's float32 elements block by block, in the same order each time."""

_BINS = 2**16
# Numbers that are never negative, as magnitudes are: 16 octaves below four times the largest of the first block, with
# 12 bits of each number. Differences of bfloat16 numbers hardly ever have more, so most bins hold one number only.
_FINE_SHIFT = 11
_HEADROOM = 4.0
# Any numbers: all orders, with 7 bits of each number.
_COARSE_SHIFT = 16
_ZERO = order.order(0.0)


class OrderTable:
    """How many numbers of a tensor lie in each of 65,536 intervals; made in one pass, kept as a few hundred kilobytes.

    A query reads the table. Where its interval holds different numbers, one more pass counts each of these, and the
    counts are kept as well. May be shared between threads.
    """

    def __init__(self, stream: Stream, nonnegative: bool) -> None:
        counts = scratch("counts", _BINS, torch.int32).zero_()
        self._nonnegative = nonnegative
        self._shift = _FINE_SHIFT if nonnegative else _COARSE_SHIFT
        self._offset = 0
        self.finite_order = True
        for position, block in enumerate(stream()):
            if position == 0 and nonnegative:
                self._offset = _offset(float(block.max()))
            self.finite_order &= order.count(block, self._shift, self._offset, counts)
        table = counts.numpy()
        self._bins = numpy.flatnonzero(table).astype(numpy.uint16)
        occupied = table[self._bins]
        self._mixed = occupied < 0
        self._ends = numpy.cumsum(occupied & 0x7FFFFFFF, dtype=numpy.int64).astype(numpy.uint32)
        self._counts: dict[int, tuple[numpy.ndarray, numpy.ndarray]] = {}
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Memory of the table and of what queries have added to it."""
        with self._lock:
            added = sum(orders.nbytes + ends.nbytes for orders, ends in self._counts.values())
        return self._bins.nbytes + self._mixed.nbytes + self._ends.nbytes + added

    def kth(self, k: int, stream: Stream) -> float | None:
        """The k-th smallest number (k from 1), or None where the table cannot tell: NaN among the numbers, or a number
        far from all others. ``stream`` gives the same numbers again.
        """
        if not self.finite_order:
            return None
        place = int(numpy.searchsorted(self._ends, k))
        before = int(self._ends[place - 1]) if place else 0
        bin = int(self._bins[place])
        first = (self._offset + bin) << self._shift
        if self._nonnegative and bin in (0, _BINS - 1):
            # The outermost bins of a window are open. Of what lies below it, zero alone is common.
            zeros = self._counted(place, _ZERO, 1, stream) if bin == 0 else (numpy.zeros(0), numpy.zeros(1))
            return 0.0 if k - before <= zeros[1][-1] else None
        if not self._mixed[place]:
            return order.number(first)
        orders, ends = self._counted(place, first, 1 << self._shift, stream)
        return order.number(first + int(orders[int(numpy.searchsorted(ends, k - before))]))

    def _counted(self, place: int, first: int, span: int, stream: Stream) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The orders from ``first`` on that occur, less ``first``, and how many numbers are up to each."""
        with self._lock:
            if place not in self._counts:
                counts = torch.zeros(span, dtype=torch.int32)
                for block in stream():
                    order.tally(block, first, counts)
                occupied = numpy.flatnonzero(counts.numpy())
                ends = numpy.cumsum(counts.numpy()[occupied]) if len(occupied) else numpy.zeros(1, numpy.int64)
                self._counts[place] = (occupied.astype(numpy.uint16), ends.astype(numpy.int32))
            return self._counts[place]


def _offset(largest: float) -> int:
    """The order of the window's first bin, so that four times ``largest`` lies in the last but one."""
    top = order.order(largest * _HEADROOM) if 0 < largest < 1e38 else _ZERO + (_BINS << _FINE_SHIFT)
    return max((top >> _FINE_SHIFT) + 2 - _BINS, _ZERO >> _FINE_SHIFT)
