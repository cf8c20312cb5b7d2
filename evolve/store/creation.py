"""Making the file of a new run."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from evolve.store import migrations
from evolve.store.clock import now
from evolve.store.encoding import to_json
from evolve.store.records import RunRecord

_INSERT_RUN = """
    INSERT INTO run (id, problem, profile, direction, digests, config, seed, version, created, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def write_new(path: Path, run: RunRecord) -> None:
    """Writes the database of a new run; ``path`` appears only when it is whole."""
    # Rollback mode leaves one file and no neighbours, so that one rename brings the whole database into being.
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.with_name(f"{fresh.name}-journal").unlink(missing_ok=True)
    connection = sqlite3.connect(fresh)
    try:
        migrations.migrate(connection, migrations.shipped())
        digests, config = to_json(dict(run.digests)), to_json(dict(run.config))
        values = (run.id, run.problem, run.profile, run.direction, digests, config, run.seed, run.version)
        with connection:
            connection.execute(_INSERT_RUN, (*values, run.created or now(), run.state))
    finally:
        connection.close()
    fresh.replace(path)
