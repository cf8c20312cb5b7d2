"""The definition of the program database: numbered SQL files of the folder ``database``.

``PRAGMA user_version`` holds the number of the last file that was applied.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evolve import resources
from evolve.errors import RunError

APPLICATION_ID = 1163284300
_NAME = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file; versions start at 1 and have no gaps."""

    version: int
    name: str
    sql: str


def load(folder: Path) -> tuple[Migration, ...]:
    """The migrations of a folder in order. Raises RunError when a number is missing or used twice."""
    files = sorted(path for path in folder.glob("*.sql") if _NAME.fullmatch(path.name))
    found = tuple(Migration(int(path.name[:4]), path.stem, path.read_text(encoding="utf-8")) for path in files)
    versions = [migration.version for migration in found]
    if not found or versions != list(range(1, len(found) + 1)):
        raise RunError(f"the migrations in {folder} are numbered {versions}, not 1 to n; reinstall evolve")
    return found


@cache
def shipped() -> tuple[Migration, ...]:
    """The migrations of this version of evolve."""
    return load(resources.folder("database"))


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """The schema version of an open file. Raises RunError when the file is not evolve's or is too new."""
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = version_of(connection)
    if application != APPLICATION_ID or version < 1:
        raise RunError(f"{path} is a database of another program, not of evolve; name the folder of a run")
    if version > newest:
        raise RunError(
            f"{path} has schema version {version}, this evolve knows up to {newest}; install a newer evolve to use it"
        )
    return version


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...]) -> None:
    """Applies what is missing, each file in one transaction: an interrupted upgrade leaves a whole older version."""
    for migration in migrations[version_of(connection) :]:
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{migration.sql}\nPRAGMA user_version = {migration.version};\nCOMMIT;"
            )
        except BaseException:
            connection.rollback()
            raise
