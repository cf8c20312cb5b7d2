"""The folder of a new model: it must be free, and it appears whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolve.errors import UsageError


def check_target(folder: Path) -> None:
    """Raises UsageError unless ``folder`` is free and can be made."""
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UsageError(f"{folder} exists and is not an empty folder; choose another name or remove it")
    place = existing_parent(folder)
    if not place.is_dir():
        raise UsageError(f"{folder} cannot be made: {place} is a file; choose another name")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be made: {place} may not be written; choose another place")


def existing_parent(folder: Path) -> Path:
    """The nearest folder above that is there."""
    place = folder.absolute().parent
    while not place.exists():
        place = place.parent
    return place


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside ``folder`` that takes its name at the end, or is removed where the body raises.

    Those that killed processes left are removed first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}-merging-"
    for left in folder.parent.glob(f"{prefix}*"):
        with _locked(left) as abandoned:
            if abandoned:
                shutil.rmtree(left, ignore_errors=True)
    unfinished = folder.parent / f"{prefix}{uuid.uuid4().hex[:8]}"
    unfinished.mkdir()
    try:
        with _locked(unfinished):
            yield unfinished
            os.replace(unfinished, folder)  # noqa: PTH105
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process got the folder's lock, which ends with the process."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
