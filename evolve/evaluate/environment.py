"""What a worker process inherits, and how many of them a machine carries."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import evolve
from evolve.sources import AlignedSource, parse_sources

_SECRET = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)(_ID)?$", re.IGNORECASE)
# The hub's own token stays: gated donors are read through it.
_KEPT = ("HF_TOKEN",)
_WORKER_BYTES = 600 * 2**20
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def inherited(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a problem's code: without the keys of other services, and able to import evolve."""
    source = os.environ if variables is None else variables
    kept = {name: value for name, value in source.items() if name in _KEPT or not _SECRET.search(name)}
    root = Path(evolve.__file__).parent.parent
    if root.name != "site-packages":  # a source tree that is not installed
        kept["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [kept.get("PYTHONPATH")])])
    return kept


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of an evaluation worker: reproducible, and with ``threads`` threads."""
    return {
        **inherited(),
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        # Without a fixed workspace cuBLAS may choose another order of summation from run to run.
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        # glibc would hand the memory of large activations back to the system and fault it in again: 5 to 10 % of time.
        "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
    }


def gpus() -> list[str]:
    """The GPUs this process may use, as ``cuda:0``, ``cuda:1``, ...; found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = len([entry for entry in visible.split(",") if entry.strip() and entry.strip() != "-1"])
    else:
        count = len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()])
    return [f"cuda:{index}" for index in range(count)]


def devices(name: str) -> list[str]:
    """The devices that workers share for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    if name in ("auto", "cuda"):
        return gpus() or (["cpu"] if name == "auto" else ["cuda:0"])
    return [name]


def workers(setup: Mapping[str, Any]) -> int:
    """How many workers to start for a worker's first message: one per GPU; on CPUs one per core, as memory allows.

    A worker is counted with twice its donors' weights (the donors and a live model with its copies) and 600 MB.
    """
    where = devices(str(setup.get("device", "auto"))) if setup.get("kind") == "merge" else ["cpu"]
    if where != ["cpu"]:
        return len(where)
    cores = len(os.sched_getaffinity(0)) // max(1, int(setup.get("threads", 1)))
    need = 2 * _donor_bytes(setup.get("donors", {})) + _WORKER_BYTES
    return max(1, min(cores, available_bytes() // need))


def _donor_bytes(donors: Mapping[str, Any]) -> int:
    """Size of all donors' weights; an adapter counts with its factors, an aligned donor with what it is made from."""
    sources, found = parse_sources(donors), 0
    for source in sources.values():
        while isinstance(source, AlignedSource):
            source = sources[source.donor]
        found += _weight_bytes(source.place)
    return found


def _weight_bytes(source: str) -> int:
    """Size of a donor's weights, given by folder or hub id; 0 for one that is not on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE

    snapshots = Path(HF_HUB_CACHE) / f"models--{source.split('@')[0].replace('/', '--')}" / "snapshots"
    folders = [Path(source)] if Path(source).is_dir() else list(snapshots.glob("*"))
    return max((sum(file.stat().st_size for file in folder.glob("*.safetensors")) for folder in folders), default=0)


def available_bytes() -> int:
    """Memory that can still be used: what the machine has free, or what the control group leaves if that is less."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(usage).read_text()))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return max(0, free)
