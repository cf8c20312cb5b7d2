"""Folders: what ships with the package, what is cached, what users provide."""

from __future__ import annotations

import os
from pathlib import Path

FOLDERS = ("database", "problems", "prompts")


def folder(name: str) -> Path:
    """The shipped folder ``name``: inside the installed package first, in the repository second."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_data" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name!r} of evolve is missing; reinstall the package")


def cache_folder() -> Path:
    """Where prepared donors are kept: ``EVOLVE_CACHE``, else ``~/.cache/evolve``."""
    return Path(os.environ.get("EVOLVE_CACHE") or Path.home() / ".cache" / "evolve").absolute()


def data_folder() -> Path:
    """Where users put data sets: ``EVOLVE_DATA``, else ``data`` in the cache folder."""
    return Path(os.environ.get("EVOLVE_DATA") or cache_folder() / "data").absolute()
