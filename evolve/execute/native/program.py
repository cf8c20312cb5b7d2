"""What a compiled loop computes, as data: equal programs are one loop."""

from __future__ import annotations

from typing import NamedTuple

# Elements per instruction; the compiler splits them into whatever vectors the processor has.
WIDTH = 16
FULL, PER_ROW, PER_COLUMN = "full", "row", "column"
# A loop stores its output, or adds it up: the float64 sum of each row, or of each row's squares.
SUM, SQUARES = "sum", "squares"
# A mask of which eight elements share a byte, the first in the lowest bit; rows begin at whole bytes.
BITS = "bits"


class Load(NamedTuple):
    """A tensor that the loop reads: its dtype, and whether it has an element per element, per row or per column."""

    dtype: str
    layout: str


class Step(NamedTuple):
    """One operation on earlier values: the loads come first, then the scalars, the noises and the steps."""

    operation: str
    operands: tuple[int, ...]


class Program(NamedTuple):
    """``dtype`` is what the loop stores, or SUM or SQUARES."""

    loads: tuple[Load, ...]
    scalars: int
    noises: int
    steps: tuple[Step, ...]
    output: int
    dtype: str
