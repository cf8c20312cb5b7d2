"""Finds the folders of data that ship with the package."""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("database", "problems", "prompts")


def folder(name: str) -> Path:
    """The shipped folder ``name``: inside the installed package first, in the repository second."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_data" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the folder {name!r} of evolve is missing; reinstall the package")
