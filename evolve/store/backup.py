"""Whole copies of a run's database, also while the run writes."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from evolve.errors import RunError
from evolve.store import connection as connections


def back_up(source: Path, target: Path) -> None:
    """Copies the database ``source`` as it is at one moment to the new file ``target``.

    The copy is checked and on the disk before it gets its name. The writer neither waits nor notices. Raises RunError
    when there is something at ``target``, or the copy is damaged.
    """
    connections.require(source)
    if target.exists():
        raise RunError(f"{target} exists already; name a new file for the copy")
    with connections.explained(source):
        reader = connections.connect_reader(source)
    with closing(reader):
        _copy(reader, target)


def keep_before_migration(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copies an open database of an older schema to ``evolve.db.v<version>.backup`` beside it, before it is changed.

    A copy that an interrupted upgrade has left there is replaced by the new one. Raises RunError when the copy is
    damaged, and with it the original.
    """
    target = path.with_name(f"{path.name}.v{version}.backup")
    _copy(connection, target)
    return target


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    with connections.explained(target):
        try:
            with closing(sqlite3.connect(unfinished)) as copy:
                # All pages in one step: one read transaction, so the copy is of one moment and never starts again,
                # however much is written meanwhile.
                connection.backup(copy, pages=-1)
                # One file without neighbours; opening it for writing brings WAL back.
                copy.execute("PRAGMA journal_mode = DELETE")
                fault = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if fault != "ok":
                raise RunError(f"the copy for {target} is damaged ({fault}); `evolve db check` says more of the run")
            _sync(unfinished)
            unfinished.replace(target)
            _sync(target.parent)
        finally:
            for ending in ("", "-journal", "-wal", "-shm"):
                unfinished.with_name(unfinished.name + ending).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
