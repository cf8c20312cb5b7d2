"""The program database of one run, for its one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlite_utils

from evolve.errors import RunError
from evolve.evaluation import Evaluation
from evolve.packed import PackedProvenance, compress
from evolve.store import connection as connections
from evolve.store import inputs, loading, migrations, rows
from evolve.store.backup import keep_before_migration
from evolve.store.clock import Clock
from evolve.store.creation import write_new
from evolve.store.encoding import sha256, storable, to_json
from evolve.store.lock import RunLock
from evolve.store.readback import Readback
from evolve.store.records import (
    FINISHED,
    ArchiveStatus,
    Cell,
    LlmCall,
    Match,
    ProposalRequest,
    ProposalState,
    RunRecord,
    RunState,
)
from evolve.store.totals import Totals

_TIME_OF = {"traced": "traced_at", "queued": "queued_at", "evaluating": "evaluating_at"}


class Database(Readback):
    """The writer of a run: holds the run's lock from opening to ``close`` (a context manager closes).

    Every method that writes is one short transaction: when it has returned, its effect survives a killed process; when
    it raises, it has changed nothing. Errors of SQLite and of the disk come out as RunError. Not thread-safe: use it
    from the thread that opened it.
    """

    def __init__(self, folder: Path, lock: RunLock, connection: sqlite3.Connection) -> None:
        """Takes over an open connection and a held lock; use ``create`` or ``open``."""
        self.folder = folder
        self.path = connections.file_of(folder)
        self._lock = lock
        self._connection = connection
        self._tables = sqlite_utils.Database(connection, recursive_triggers=False, execute_plugins=False)
        self._totals = Totals(loading.counts(connection), loading.cost(connection), loading.under_way(connection))
        self._clock = Clock(loading.last_end(connection))

    @classmethod
    def create(cls, folder: Path, run: RunRecord) -> Database:
        """Makes the folder and the database of a new run and opens it.

        The file appears only when it is whole. Raises RunError when the folder already holds a run.
        """
        path = connections.file_of(folder)
        with connections.explained(path):
            folder.mkdir(parents=True, exist_ok=True)
            with RunLock(folder):
                if path.exists():
                    raise RunError(f"{folder} already holds a run; continue it with `evolve resume` or name another id")
                write_new(path, run)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Database:
        """Opens a run for writing and brings its schema up to date, after a copy of an older one was made beside it.

        Raises DatabaseBusy while another process writes it, RunError when it is missing, damaged, not writable, or
        newer than this evolve.
        """
        path = connections.file_of(folder)
        connections.require(path)
        with connections.explained(path):
            lock = RunLock(folder)
            try:
                connection = connections.connect_writer(path)
                try:
                    known = migrations.shipped()
                    version = migrations.check(connection, path, len(known))
                    if version < len(known):
                        keep_before_migration(connection, path, version)
                    migrations.migrate(connection, known)
                    return cls(folder, lock, connection)
                except BaseException:
                    connection.close()
                    raise
            except BaseException:
                lock.release()
                raise

    def close(self) -> None:
        """Closes the file and gives the lock back; safe to call twice."""
        try:
            self._connection.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction: all that is written in it takes effect, or nothing."""
        with connections.explained(self.path), self._tables.atomic():
            yield

    def _insert(self, table: str, row: Mapping[str, Any], *, ignore: bool = False) -> int:
        # A prepared statement: sqlite-utils looks up the table with every insert, which takes longer than the insert.
        statement = rows.insertion(table, tuple(row), ignore=ignore)
        return int(self._write(statement, tuple(row.values())).lastrowid or 0)

    def _update(self, proposal_id: int, values: Mapping[str, Any]) -> None:
        assignments = ", ".join(f"{column} = ?" for column in values)
        statement = f"UPDATE proposals SET {assignments} WHERE id = ?"
        if self._write(statement, (*values.values(), proposal_id)).rowcount != 1:
            raise RunError(f"this run has no proposal {proposal_id}; call begin_proposal first")

    def _write(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except UnicodeEncodeError:
            return self._connection.execute(statement, [storable(value) for value in values])

    def set_predicted(self, proposal_id: int, score: float) -> None:
        """Stores the score that a surrogate expects of a proposal."""
        with self.transaction():
            self._update(proposal_id, {"predicted": score})

    def _require_under_way(self, proposal_id: int) -> None:
        if self._totals.is_under_way(proposal_id):
            return
        row = self._connection.execute("SELECT state FROM proposals WHERE id = ?", (proposal_id,)).fetchone()
        if row is None:
            raise RunError(f"this run has no proposal {proposal_id}; call begin_proposal first")
        raise RunError(f"proposal {proposal_id} is already {row[0]}; make a new proposal instead")

    # --- run ---

    def now(self) -> str:
        """The time, never before that of anything written so far."""
        return self._clock.now()

    @property
    def run(self) -> RunRecord:
        with connections.explained(self.path):
            return loading.run(self._connection)

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection, for reading with ``evolve.store.queries``; only ``merge_runs`` writes through it."""
        return self._connection

    def set_run_state(self, state: RunState) -> None:
        with self.transaction():
            self._tables.execute("UPDATE run SET state = ?", [state])

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Replaces the run's configuration, for a resume with other settings."""
        with self.transaction():
            self._tables.execute("UPDATE run SET config = ?", [to_json(config)])

    def set_winner(self, program_id: int) -> None:
        """Records the final choice of the run."""
        with self.transaction():
            self._tables.execute("UPDATE run SET winner_id = ?", [program_id])

    # --- proposals ---

    def begin_proposal(self, request: ProposalRequest) -> int:
        """Records that a child has been asked for; returns its id. Ids count up from 1 and are never used again."""
        with self.transaction():
            proposal_id = self._insert("proposals", {**rows.of_request(request), "proposed_at": self.now()})
            shown = [(proposal_id, position, number) for position, number in enumerate(request.inspirations)]
            self._connection.executemany("INSERT INTO inspirations VALUES (?, ?, ?)", shown)
        self._totals.asked(proposal_id)
        return proposal_id

    def set_source(
        self, proposal_id: int, source: str, digest: str, description: str | None = None, patch: str | None = None
    ) -> Match | None:
        """Stores a proposal's text under the digest that ignores formatting, and what its proposer says of it.

        Returns the program with that digest that is already under way, scored or failed, None when the text is new.
        The look and the write are one transaction, so of two equal texts exactly one is told that it is new.
        """
        text_digest = sha256(source)
        with self.transaction():
            self._require_under_way(proposal_id)
            match = loading.match_source(self._connection, digest, proposal_id)
            row = {"text_digest": text_digest, "source_digest": digest, "source": source}
            self._insert("sources", row, ignore=True)
            values = {"text_digest": text_digest, "source_digest": digest}
            told = {"description": description, "patch": patch}
            values |= {column: value for column, value in told.items() if value is not None}
            self._update(proposal_id, values)
        return match

    def set_traced(
        self, proposal_id: int, plan_json: str, digest: str, knobs: Sequence[Mapping[str, Any]] = ()
    ) -> Match | None:
        """Stores a proposal's plan and knobs and moves it to ``traced``.

        Returns the earlier program with that plan, as ``set_source`` does.
        """
        with self.transaction():
            self._require_under_way(proposal_id)
            match = loading.match_plan(self._connection, digest, proposal_id)
            row = {"plan_digest": digest, "plan": compress(plan_json), "size_bytes": len(plan_json.encode())}
            self._insert("plans", row, ignore=True)
            values = {"state": "traced", "traced_at": self.now(), "plan_digest": digest, "knobs": to_json(list(knobs))}
            self._update(proposal_id, values)
        self._totals.moved(proposal_id, "traced")
        return match

    def set_state(
        self,
        proposal_id: int,
        state: ProposalState,
        *,
        reason: str | None = None,
        message: str | None = None,
        line: int | None = None,
        duplicate_of: int | None = None,
    ) -> None:
        """Moves a proposal on; ``scored`` is reached through ``add_evaluation`` only.

        Raises RunError when the proposal has already ended.
        """
        if state == "scored":
            raise RunError(f"proposal {proposal_id} becomes scored through add_evaluation, not set_state")
        values: dict[str, Any] = {"state": state}
        told = {"reason": reason, "message": message, "line": line, "duplicate_of": duplicate_of}
        values |= {column: value for column, value in told.items() if value is not None}
        if state in FINISHED:
            values["finished_at"] = self._clock.next()
        elif state in _TIME_OF:
            values[_TIME_OF[state]] = self.now()
        with self.transaction():
            self._require_under_way(proposal_id)
            if state == "duplicate":
                values["duplicate_of"] = self._point_at_original(proposal_id, duplicate_of)
            self._update(proposal_id, values)
        self._totals.moved(proposal_id, state)

    def _point_at_original(self, proposal_id: int, duplicate_of: int | None) -> int | None:
        # A duplicate of a duplicate points at the original, whichever of the two became one first.
        query = "SELECT coalesce(duplicate_of, id) FROM proposals WHERE id = ? AND state = 'duplicate'"
        row = self._connection.execute(query, (duplicate_of,)).fetchone()
        original = duplicate_of if row is None else int(row[0])
        self._tables.execute("UPDATE proposals SET duplicate_of = ? WHERE duplicate_of = ?", [original, proposal_id])
        return original

    def add_evaluation(
        self,
        program_id: int,
        evaluation: Evaluation,
        *,
        split: str = "search",
        seconds: float = 0.0,
        phases: Mapping[str, float] | None = None,
        archive_status: ArchiveStatus | None = None,
        cells: Iterable[Cell] = (),
        provenance: PackedProvenance | None = None,
        stopped: str | None = None,
        items_total: int | None = None,
    ) -> None:
        """Stores an evaluation; ``score`` must already be one that is maximised. ``provenance`` is stored beside it.

        ``stopped`` says why it was ended early; its outcomes are then those of the first items of the run's order, out
        of ``items_total``.

        On the split ``search`` the proposal becomes ``scored`` and the cells it took are written in the same
        transaction. Raises RunError when the program already has an evaluation on this split.
        """
        row = rows.of_evaluation(evaluation, split, seconds, phases or {}, stopped, items_total)
        row |= {"proposal_id": program_id, "created": self._clock.next()}
        with self.transaction():
            if self._has_evaluation(program_id, split):
                raise RunError(f"program {program_id} already has an evaluation on split {split!r}; read it instead")
            if split == "search":
                self._require_under_way(program_id)
            evaluation_id = self._insert("evaluations", row)
            if provenance is not None:
                self._insert("provenance", {"evaluation_id": evaluation_id, **provenance._asdict()})
            if split == "search":
                ended = {"state": "scored", "archive_status": archive_status, "finished_at": row["created"]}
                self._update(program_id, ended)
            self._put_cells(cells)
        if split == "search":
            self._totals.moved(program_id, "scored")

    def _has_evaluation(self, program_id: int, split: str) -> bool:
        query = "SELECT 1 FROM evaluations WHERE proposal_id = ? AND split = ?"
        return self._connection.execute(query, (program_id, split)).fetchone() is not None

    # --- cells ---

    def put_cells(self, cells: Iterable[Cell]) -> None:
        """Writes who holds these cells now, e.g. after a migration."""
        with self.transaction():
            self._put_cells(cells)

    def replace_island(self, island: int, cells: Iterable[Cell]) -> None:
        """Empties an island, fills it with these cells and notes that it was reseeded."""
        held = list(cells)
        with self.transaction():
            self._write("DELETE FROM cells WHERE island = ?", [island])
            self._put_cells(held)
            self._note("reseed", {"island": island, "programs": len(held)})

    def _put_cells(self, cells: Iterable[Cell]) -> None:
        updated = self.now()
        held = [(cell.island, cell.key, cell.program_id, cell.score, updated) for cell in cells]
        self._connection.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?)", held)

    # --- calls and events ---

    def add_llm_calls(self, proposal_id: int | None, calls: Sequence[LlmCall]) -> None:
        """Stores the calls made for a proposal (None: for the run) and updates its cost.

        A proposal costs the sum of its calls, nothing when it made none, an unknown sum when any of them is unknown;
        until this method is called its cost is unknown.
        """
        created = self.now()
        with self.transaction():
            for call in calls:
                row = {**rows.of_call(call), "proposal_id": proposal_id, "created": created}
                self._insert("llm_calls", row)
            if proposal_id is not None:
                totals = "SELECT count(*) - count(cost_usd), total(cost_usd) FROM llm_calls WHERE proposal_id = ?"
                unknown, cost_usd = self._connection.execute(totals, (proposal_id,)).fetchone()
                self._update(proposal_id, {"cost_usd": None if unknown else cost_usd})
        self._totals.called(calls)

    def add_event(self, kind: str, data: Mapping[str, Any] | None = None, proposal_id: int | None = None) -> None:
        """Notes something worth a line in the run's history: an improvement, a migration, a resume, a budget."""
        with self.transaction():
            self._note(kind, data or {}, proposal_id)

    def _note(self, kind: str, data: Mapping[str, Any], proposal_id: int | None = None) -> None:
        row = {"created": self.now(), "kind": kind, "proposal_id": proposal_id, "data": to_json(dict(data))}
        self._insert("events", row)

    # --- what scores depend on ---

    def note_inputs(self, digests: Mapping[str, str]) -> None:
        """Notes what the scores of this run depend on, by name."""
        self.add_event(inputs.EVENT, {"digests": dict(digests)})

    def replace_inputs(self, digests: Mapping[str, str], changed: Sequence[str]) -> None:
        """Notes that what scores depend on has changed, and takes every score of before out of use.

        Evaluations stay under the name of their split with the number of the change; cells and winner are gone, and
        the note names who held the cells.
        """
        number = inputs.noted(self._connection)
        data = {"digests": dict(digests), "changed": list(changed), "elites": inputs.elites(self._connection)}
        with self.transaction():
            self._write("UPDATE evaluations SET split = split || '~' || ? WHERE instr(split, '~') = 0", (number,))
            self._write("DELETE FROM cells", ())
            self._write("UPDATE run SET winner_id = NULL", ())
            self._note(inputs.EVENT, data)

    # --- what language models learned ---

    def add_prompt(self, text: str, parent_id: int | None = None) -> int:
        """Stores a variant of the instructions, written from ``parent_id``; returns its number."""
        with self.transaction():
            return self._insert("prompts", {"parent_id": parent_id, "text": text, "created": self.now()})

    def retire_prompt(self, prompt_id: int) -> None:
        """Marks a variant as no longer drawn."""
        with self.transaction():
            self._tables.execute("UPDATE prompts SET retired = 1 WHERE id = ?", [prompt_id])

    def add_scratchpad(self, evaluations: int, text: str, created: str) -> None:
        """Stores recommendations that were asked for after so many evaluations, at the time ``created``."""
        with self.transaction():
            self._insert("scratchpads", {"evaluations": evaluations, "text": text, "created": created})
