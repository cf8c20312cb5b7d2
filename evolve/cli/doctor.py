"""``evolve doctor``: what this machine can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from evolve.errors import EvolveError

PACKAGES = (
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "sqlite-utils",
    "litellm",
    "openai",
    "rich",
    "libcst",
)
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY")
FREE_BYTES = 2 * 2**30


@click.command("doctor")
@click.option("-f", "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def doctor_command(form: str) -> int:
    """Report packages, devices, sandbox, disk and keys. Exit status 1 when something a run needs is missing."""
    from evolve.ui.table import render

    rows = [row for part in (_python, _packages, _device, _sandbox, _disk, _keys) for row in _guarded(part)]
    click.echo(render(rows, ("what", "state", "detail"), form))
    return 1 if any(row["state"] == "missing" for row in rows) else 0


def _guarded(part: Callable[[], Iterator[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return list(part())
    except (EvolveError, OSError, ImportError) as error:
        return [{"what": part.__name__.strip("_"), "state": "missing", "detail": str(error)}]


def _python() -> Iterator[dict[str, Any]]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    yield {"what": "python", "state": "ok" if fine else "missing", "detail": f"{version} on {platform.platform()}"}


def _packages() -> Iterator[dict[str, Any]]:
    for name in PACKAGES:
        try:
            yield {"what": name, "state": "ok", "detail": importlib.metadata.version(name)}
        except importlib.metadata.PackageNotFoundError:
            yield {"what": name, "state": "missing", "detail": f"pip install {name}"}


def _device() -> Iterator[dict[str, Any]]:
    import torch

    cores = len(os.sched_getaffinity(0))
    yield {"what": "cores", "state": "ok", "detail": f"{cores} usable"}
    if not torch.cuda.is_available():
        yield {"what": "GPU", "state": "none", "detail": "torch sees no CUDA device; runs use the CPU"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        detail = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        yield {"what": f"cuda:{index}", "state": "ok", "detail": detail}


def _sandbox() -> Iterator[dict[str, Any]]:
    from evolve.sandbox import Sandbox

    with Sandbox(entry="evolve.sandbox.program:serve", preload=()) as sandbox:
        level = sandbox.level
    state = "ok" if not level.missing else "partial"
    yield {"what": "sandbox", "state": state, "detail": f"{level.name}: {level.describe()}"}


def _disk() -> Iterator[dict[str, Any]]:
    from evolve.loop.folder import runs_root
    from evolve.resources import cache_folder

    for name, folder in (("runs folder", runs_root().absolute()), ("cache folder", cache_folder())):
        place = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(place).free
        writable = os.access(place, os.W_OK)
        state = "ok" if writable and free > FREE_BYTES else "missing" if not writable else "low"
        detail = f"{_home(folder)}, {free / 2**30:.0f} GiB free" + ("" if writable else ", not writable")
        yield {"what": name, "state": state, "detail": detail}


def _home(folder: Path) -> str:
    home = str(Path.home())
    return str(folder).replace(home, "~", 1) if str(folder).startswith(home) else str(folder)


def _keys() -> Iterator[dict[str, Any]]:
    for name in KEYS:
        found = bool(os.environ.get(name))
        yield {
            "what": name,
            "state": "set" if found else "not set",
            "detail": "" if found else "only needed for its models",
        }
