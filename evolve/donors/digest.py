"""What is known of checkpoint files, remembered so that gigabytes are read once: fingerprints, numbers not finite."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from evolve.resources import cache_folder

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
_BLOCK_BYTES = 2**22


def checkpoint_digest(folder: Path, files: Sequence[str]) -> str:
    """sha256 (hex) over the names and contents of ``files`` in ``folder``; where the folder lies does not matter."""
    contents = [[name, file_digest(folder / name)] for name in sorted(files)]
    return combined_digest(contents)


def combined_digest(parts: object) -> str:
    """sha256 (hex) of plain data: the digest of what is made from digested things."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file, remembered by its path, size and modification time in the cache folder of evolve."""
    return _remembered(path, "digests", _hash)


def not_finite(path: Path) -> list[str]:
    """The tensors of a safetensors file that hold NaN or infinity, remembered like its digest.

    The file must be whole; tensors of other types than float32, float16 and bfloat16 are passed over.
    """
    names: list[str] = json.loads(_remembered(path, "finite", _not_finite))
    return names


def is_finite(tensor: Tensor) -> bool:
    """Whether there is no NaN and no infinity; one pass, nothing allocated."""
    return tensor.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())


def _remembered(path: Path, kind: str, look: Callable[[Path], str]) -> str:
    """What ``look`` finds in a file. Processes that ask at once look once: the others wait for the entry's lock."""
    path = path.resolve()
    state = path.stat()
    key = [str(path), state.st_size, state.st_mtime_ns]
    folder = cache_folder() / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / hashlib.sha256(str(path).encode()).hexdigest()[:32]).open("a+", encoding="utf-8")
    except OSError:  # a cache that cannot be written only costs time
        return look(path)
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        known = _read_entry(handle.read())
        if known is not None and known[:3] == key:
            return str(known[3])
        found = look(path)
        handle.truncate(0)
        handle.write(json.dumps([*key, found]))
    return found


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


def _not_finite(path: Path) -> str:
    with safe_open(path, framework="pt", device="cpu") as handle:
        tensors = ((name, handle.get_tensor(name)) for name in handle.keys())  # noqa: SIM118
        return json.dumps([name for name, tensor in tensors if tensor.dtype in FLOATS and not is_finite(tensor)])
