"""Folders in the cache that are made once and then only read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from evolve.donors.checkpoint import one_line
from evolve.errors import DonorError
from evolve.resources import cache_folder


def prepared_folder(kind: str, key: Sequence[Any], make: Callable[[Path], None]) -> Path:
    """``kind/<digest of key>`` in the cache folder, filled by ``make`` unless it is there.

    It appears whole or not at all. Of processes that ask at once, one makes it and the others wait. ``key`` is plain
    data on which all of the content depends. Raises DonorError where the cache cannot be written.
    """
    digest = hashlib.sha256(json.dumps(list(key), sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / kind / digest[:32]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                _make(folder, make)
    except (OSError, SafetensorError) as error:
        raise DonorError(
            f"{folder} cannot be made ({one_line(error)}); make room there or name another place with the environment "
            "variable EVOLVE_CACHE"
        ) from error
    return folder


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f".{folder.name}-*"):  # of a process that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        make(unfinished)
        os.replace(unfinished, folder)  # noqa: PTH105
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
