"""The least that writing a program can cost here: its rows through plain sqlite3, one transaction for each program."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import database_texts as texts
from database_path import Made

from evolve.packed import compress
from evolve.store import connection as connections
from evolve.store import rows
from evolve.store.clock import now
from evolve.store.encoding import sha256, to_json
from evolve.store.records import ProposalRequest


class Floor:
    """Writes the rows of whole programs, with the pragmas of evolve's writer and without its states and checks."""

    def __init__(self, folder: Path) -> None:
        self._connection = connections.connect_writer(connections.file_of(folder))

    def __enter__(self) -> Floor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def program(self, one: Made) -> None:
        """The rows of one scored program and of one cell that it took."""
        stamp, text_digest = now(), sha256(one.source)
        proposal: dict[str, Any] = rows.of_request(ProposalRequest(0, 1, "diff", "offline", 1))
        proposal |= dict.fromkeys(("proposed_at", "queued_at", "evaluating_at", "finished_at"), stamp)
        proposal |= {"state": "scored", "text_digest": text_digest, "source_digest": one.digest, "cost_usd": 0.0004}
        self._connection.execute("BEGIN")
        self._insert("sources", {"text_digest": text_digest, "source_digest": one.digest, "source": one.source})
        if one.plan is not None:
            plan, digest = one.plan
            self._insert("plans", {"plan_digest": digest, "plan": compress(plan), "size_bytes": len(plan)})
            proposal |= {"plan_digest": digest, "knobs": to_json(one.knobs), "traced_at": stamp}
        number = self._insert("proposals", proposal)
        for place in range(3):
            self._insert("inspirations", {"proposal_id": number, "position": place, "program_id": place + 1})
        self._insert("llm_calls", rows.of_call(one.call) | {"proposal_id": number, "created": stamp})
        evaluation = rows.of_evaluation(one.evaluation, "search", 0.28, {"evaluate": 0.25, "merge": 0.03})
        evaluated = self._insert("evaluations", evaluation | {"proposal_id": number, "created": stamp})
        if one.provenance is not None:
            self._insert("provenance", {"evaluation_id": evaluated, **one.provenance._asdict()})
        cell = (number % 4, texts.EXPERTS[number % 4], number, one.evaluation.score, stamp)
        self._connection.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?)", cell)
        self._connection.execute("COMMIT")

    def _insert(self, table: str, row: dict[str, Any]) -> int:
        statement = rows.insertion(table, tuple(row), ignore=False)
        return int(self._connection.execute(statement, tuple(row.values())).lastrowid or 0)
