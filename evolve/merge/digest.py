"""Fingerprints of checkpoints, remembered so that gigabytes are hashed once."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from evolve.resources import cache_folder

_BLOCK_BYTES = 2**22


def checkpoint_digest(folder: Path, files: Sequence[str]) -> str:
    """sha256 (hex) over the names and contents of ``files`` in ``folder``; where the folder lies does not matter."""
    contents = [[name, file_digest(folder / name)] for name in sorted(files)]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file, remembered by its path, size and modification time in the cache folder of evolve.

    Processes that ask for the same file at once hash it once: the others wait for the entry's lock.
    """
    path = path.resolve()
    state = path.stat()
    key = [str(path), state.st_size, state.st_mtime_ns]
    folder = cache_folder() / "digests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / hashlib.sha256(str(path).encode()).hexdigest()[:32]).open("a+", encoding="utf-8")
    except OSError:  # a cache that cannot be written only costs time
        return _hash(path)
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        known = _read_entry(handle.read())
        if known is not None and known[:3] == key:
            return str(known[3])
        digest = _hash(path)
        handle.truncate(0)
        handle.write(json.dumps([*key, digest]))
    return digest


def _read_entry(text: str) -> list[object] | None:
    try:
        entry = json.loads(text)
    except ValueError:  # empty when new, cut off when its writer was killed
        return None
    return entry if isinstance(entry, list) and len(entry) == 4 else None


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(_BLOCK_BYTES)
    with path.open("rb", buffering=0) as handle:
        while count := handle.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()
