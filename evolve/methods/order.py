"""Order statistics of whole tensors by selection, which is cheaper than sorting and has no limit on the size."""

from __future__ import annotations

from torch import Tensor


def kth(values: Tensor, k: int) -> Tensor:
    """The k-th smallest element (k from 1), 0-dim."""
    selected: Tensor = values.flatten().kthvalue(k).values
    return selected


def quantile(values: Tensor, q: float) -> Tensor:
    """The element at the q-quantile (q from 0 to 1), the lower one between two, 0-dim."""
    return kth(values, int(q * (values.numel() - 1)) + 1)


def at_least(values: Tensor, count: int) -> Tensor:
    """Where the values are among the ``count`` largest (from 1), or equal to the smallest of those; bool."""
    return values >= kth(values, values.numel() - count + 1)
