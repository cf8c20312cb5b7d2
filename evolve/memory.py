"""Telling a lack of memory from other errors."""

from __future__ import annotations

import sys

# What torch says when the system refuses memory; it has no class of its own for that.
_SIGNS = ("DefaultCPUAllocator", "can't allocate memory", "bad_alloc")


def is_lack_of_memory(error: BaseException, message: str | None = None) -> bool:
    """Whether an exception of Python, numpy or torch says that memory was refused, on a CPU or a GPU.

    ``message`` stands for the exception's own text, where that may be written by an enemy.
    """
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error) if message is None else message
    return any(sign in text for sign in _SIGNS)
