"""A loop over the elements of one site, compiled once for all sites and numbers that share it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from evolve.execute.native import machine
from evolve.execute.native.assembly import assembly
from evolve.execute.native.program import SQUARES, SUM, Program


@cache
def dtypes() -> Mapping[torch.dtype, str]:
    """The names of what loops load and store on this machine."""
    names = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.bool: "bool"}
    return {**names, torch.float16: "float16"} if machine.converts_half() else names


class Loop:
    """A compiled program. Calls release Python's lock, so threads may work on separate rows at once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._module = machine.compile(assembly(program))
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 5)
        self._call = signature(self._module.address("loop"))

    def run(
        self,
        inputs: Sequence[Tensor],
        scalars: Sequence[float],
        streams: Sequence[tuple[int, int]],
        start: int,
        output: Tensor,
        columns: int | None = None,
    ) -> bool:
        """Fills ``output`` (rows, columns), or with the sums of rows of ``columns`` elements; returns whether all that
        was stored is finite.

        ``inputs`` are contiguous, of the loads' dtypes and layouts; ``start`` is the number of the first element for
        noise, whose 32-bit keys are ``streams``. Sums are float64, one number a row.
        """
        assert (columns is None) == (self.program.dtype not in (SUM, SQUARES))
        pointers = (ctypes.c_void_p * max(1, len(inputs)))(*[tensor.data_ptr() for tensor in inputs])
        numbers = (ctypes.c_float * max(1, len(scalars)))(*scalars)
        keys = (ctypes.c_uint32 * max(1, 2 * len(streams)))(*[word for stream in streams for word in stream])
        bad = ctypes.c_int32(0)
        self._call(
            output.shape[0],
            output.shape[1] if columns is None else columns,
            start,
            ctypes.addressof(pointers),
            ctypes.addressof(numbers),
            ctypes.addressof(keys),
            output.data_ptr(),
            ctypes.addressof(bad),
        )
        return bad.value == 0
