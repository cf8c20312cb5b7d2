"""What a program returned, checked as if an enemy had made it: for the evaluators of problems.

    points = Returned("pack()", candidate.call("pack", 26)).array(shape=(26, 3), low=0.0, high=1.0)

Whatever is wrong is a CandidateError that names the call, so that it becomes the program's failure and never the
evaluator's. What passes is plain: Python numbers, fractions, and fresh arrays of the dtype that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from evolve.errors import CandidateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS = {"float64": "iuf", "int64": "iu", "bool": "b"}


@dataclass(frozen=True)
class Returned:
    """A returned value and the ``call`` it came from, as messages name it."""

    call: str
    value: Any

    def array(
        self, shape: Sequence[int | None], dtype: str = "float64", low: float = -math.inf, high: float = math.inf
    ) -> NDArray[Any]:
        """A new array of this ``shape`` (None: any size), every entry finite and within ``low..high``.

        ``dtype`` is ``float64`` (from integers and floats), ``int64`` (from integers) or ``bool`` (from bools); nested
        lists of numbers count as arrays, and one number as an array of shape ``()``.
        """
        import numpy as np

        try:
            found = np.array(self.value)
        except (ValueError, TypeError, OverflowError):
            self._refuse("rows of unequal lengths")
        wanted = str(tuple(shape)).replace("None", "any")
        fits = len(found.shape) == len(shape) and all(
            want in (None, size) for size, want in zip(found.shape, shape, strict=True)
        )
        if not fits:
            self._refuse(f"shape {found.shape}; it must be {wanted}")
        if found.dtype.kind not in _KINDS[dtype]:
            self._refuse(f"an array of {found.dtype}; it must hold {dtype}")
        if dtype == "int64" and found.size and int(found.max()) > np.iinfo(np.int64).max:
            self._refuse("a whole number too large for 64 bits")
        made = found.astype(dtype)
        if not np.isfinite(made).all():
            place = tuple(int(index) for index in np.argwhere(~np.isfinite(made))[0])
            self._refuse(f"{made[place]} at {place}; every entry must be finite")
        outside = np.argwhere((made < low) | (made > high))
        if len(outside):
            place = tuple(int(index) for index in outside[0])
            self._refuse(f"{made[place]!s} at {place}, which is not within {low:g}..{high:g}")
        return made

    def exact(self, shape: Sequence[int | None]) -> list[Any]:
        """The entries of ``array(shape)`` as fractions in nested lists: constraints on them need no tolerance."""
        found: list[Any] = _fractions(self.array(shape).tolist())
        return found

    def _refuse(self, what: str) -> NoReturn:
        raise CandidateError(f"{self.call} returned {what}")


def _fractions(data: Any) -> Any:
    return [_fractions(item) for item in data] if isinstance(data, list) else Fraction(data)
