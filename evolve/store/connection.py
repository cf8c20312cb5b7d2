"""Opening a run's SQLite file, and SQLite's errors in words that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from evolve.errors import DatabaseBusy, RunError
from evolve.store import migrations

FILE_NAME = "evolve.db"
BUSY_TIMEOUT_S = 5.0

CACHE_KIB = 32 * 1024
"""Pages that the writer keeps; digests go to a random page of their index, of which a million programs have 100 MB."""

CHECKPOINT_PAGES = 8000
"""Pages of 4 KiB in the log before they are moved into the file, about 150 programs: it takes two fsyncs each time."""
_EXTENDED_MASK = 0xFF


def file_of(folder: Path) -> Path:
    """The database of a run folder; a path to the file itself is accepted too."""
    return folder if folder.name == FILE_NAME else folder / FILE_NAME


def require(path: Path) -> None:
    """Raises RunError when there is no run."""
    if not path.is_file():
        raise RunError(f"no run at {path.parent}: {path.name} is missing; name the folder of a run")


def explain(error: sqlite3.Error | OSError, path: Path) -> RunError:
    """The one line for the person at the terminal."""
    if isinstance(error, OSError):
        return RunError(
            f"{path} cannot be used: {error.strerror or error}; check the disk and the folder's permissions"
        )
    code = getattr(error, "sqlite_errorcode", 0) & _EXTENDED_MASK
    if code == sqlite3.SQLITE_FULL:
        return RunError(f"no space left on the disk of {path}; free some, then continue with `evolve resume`")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return RunError(f"{path} cannot be written ({error}); copy the run to a folder that you may write")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseBusy(f"{path} is locked by another program; close what has it open for writing, then try again")
    if code == sqlite3.SQLITE_NOTADB:
        return RunError(f"{path} is not a database; name the folder of a run")
    if code == sqlite3.SQLITE_CORRUPT:
        return RunError(f"{path} is damaged ({error}); restore a copy, or save the rest with `sqlite3 {path} .recover`")
    return RunError(f"{path} cannot be used: {error}")


class explained:
    """Turns errors of SQLite and of the disk into RunError, as a context manager."""

    # Not a generator: each program enters it twenty times, and a generator takes five times as long.
    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(error, (sqlite3.Error, OSError)):
            raise explain(error, self._path) from error


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection for the one writer: WAL, foreign keys, synchronous NORMAL (a killed process loses nothing; a power
    cut may lose the last transactions, never the file)."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection, while a run writes and on a read-only disk too.

    A WAL file needs its `-shm` neighbour; where that can neither be found nor made, nobody can be writing, and the
    file is opened as immutable.
    """
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        code = error.sqlite_errorcode & _EXTENDED_MASK
        if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        connection = sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to a run whose rows are dictionaries. Raises RunError in one line."""
    path = file_of(folder)
    require(path)
    with explained(path):
        connection = connect_reader(path)
        try:
            newest = len(migrations.shipped())
            version = migrations.check(connection, path, newest)
            if version < newest:
                raise RunError(
                    f"{path} has schema version {version}, this evolve reads {newest}; "
                    "`evolve db upgrade` brings it up to date"
                )
            connection.row_factory = as_dict
            yield connection
        finally:
            connection.close()


def as_dict(cursor: sqlite3.Cursor, values: tuple[object, ...]) -> dict[str, object]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def dicts(
    connection: sqlite3.Connection, query: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> list[dict[str, Any]]:
    """The rows of a query by the names of their columns, whatever the connection makes of rows."""
    cursor = connection.cursor()
    cursor.row_factory = as_dict
    rows: list[dict[str, Any]] = cursor.execute(query, values).fetchall()
    return rows


def tuples(
    connection: sqlite3.Connection, query: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> sqlite3.Cursor:
    """The rows of a query as tuples, whatever the connection makes of rows."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(query, values)
