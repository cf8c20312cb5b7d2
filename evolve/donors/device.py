"""The device that a user names, as torch knows it."""

from __future__ import annotations

import torch

from evolve.errors import UsageError


def compute_device(name: str, option: str = "--device ") -> torch.device:
    """The device of ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` is the first GPU, else the CPU.

    Raises UsageError for another name or a GPU that is not there; ``option`` is what the user types before a name.
    """
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device("cuda:0" if name == "cuda" else name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is unknown; use {option}cpu, {option}cuda or {option}cuda:0")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r} was asked for, but torch sees no GPU; use {option}cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name!r} is not there: torch sees {torch.cuda.device_count()} GPUs, the first is {option}cuda:0"
        )
    return device
