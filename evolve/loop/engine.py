"""The steady-state engine: keeps proposals in flight until the budget is used."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from evolve.errors import AuthenticationFailed, EvaluatorError, EvolveError, ProviderError, RunError
from evolve.loop import lifecycle
from evolve.loop.lifecycle import Duplicate, Scored, Ticket
from evolve.loop.observer import Improvement
from evolve.loop.order import Turnstile
from evolve.loop.parts import Parts
from evolve.loop.sampling import Sampler
from evolve.statistics import score_interval
from evolve.store import queries
from evolve.store.records import ProposalRequest

FRUITLESS_LIMIT = 300
"""Proposals in a row without an evaluation after which nothing new can be expected."""

PROVIDER_FAILURES_LIMIT = 12
"""Failed calls in a row after which the language-model service is taken to be down."""


class Engine:
    """Runs seeds first, then proposals, each as one task; no task waits for another but for a worker.

    With one worker and the offline proposer alone, proposals are prepared and committed in their order, so that a seed
    decides the whole run.
    """

    def __init__(self, parts: Parts, sampler: Sampler) -> None:
        self.parts = parts
        self.draining = False
        self._sampler = sampler
        ordered = parts.pool.count == 1 and parts.ensemble.offline_only
        self._prepared = Turnstile(ordered)
        self._committed = Turnstile(ordered)
        concurrency = 0 if parts.ensemble.offline_only else parts.config.proposals.concurrency
        ahead = 1 if ordered else max(parts.pool.count, concurrency)
        self._capacity = parts.pool.count + ahead
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._evaluations = parts.database.counts().evaluations
        self._fruitless = 0
        self._provider_failures = 0
        self._failed: deque[int] = deque(maxlen=20)
        self._seed_errors: list[EvolveError] = []

    async def run(self) -> None:
        """Evaluates unfinished proposals and seeds, then proposes until the budget is used or the run is drained.

        Raises RunError when no seed can be evaluated, AuthenticationFailed or ProviderError when no proposer is left.
        """
        with self._interruptible():
            await self._seeds()
            self.parts.status.phase = "evolving"
            self._launch()
            await self._drained()

    def drain(self) -> None:
        """Starts nothing new; what is in flight is finished."""
        self.draining = True
        self.parts.status.phase = "draining"

    async def abort(self) -> None:
        """Drops what is in flight; its rows stay unfinished and are taken up by a resume."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        current = asyncio.current_task()

        def interrupt() -> None:
            if self.draining and current is not None:
                current.cancel()
                return
            self.drain()
            waiting = self.parts.status.in_flight
            self.parts.observer.message(f"stopping: finishing {waiting} proposals in flight; Ctrl-C again aborts them")

        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, interrupt)
        try:
            yield
        finally:
            for name in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(name)

    async def _seeds(self) -> None:
        self.parts.status.phase = "seeds"
        for ticket in self._unfinished():
            self._start(ticket)
        rows = queries.baselines(self.parts.database.connection)
        known = {row["seed_name"] for row in rows if row["state"] != "abandoned"}
        for index, (name, source) in enumerate(self.parts.problem.seeds.items()):
            if name in known:
                continue
            island = index % self.parts.config.search.islands
            row = ProposalRequest(island, 0, "seed", "problem", description=f"seed {name}", seed_name=name)
            ticket = Ticket(self._number(), self.parts.database.begin_proposal(row), island, 0, seed_name=name)
            ticket.source, ticket.description = source, row.description
            self._start(ticket)
        await self._drained()
        if self.parts.archive.best() is None and not self.draining:
            cause = self._seed_errors[0] if self._seed_errors else "no evaluation succeeded"
            raise RunError(f"no seed program of {self.parts.problem.name} could be evaluated: {cause}")

    def _unfinished(self) -> Iterator[Ticket]:
        for row in self.parts.database.unfinished():
            if row.source is None:
                self.parts.database.set_state(
                    row.id,
                    "abandoned",
                    reason="interrupted",
                    message="the process ended before the program was written",
                )
                continue
            request = row.request
            ticket = Ticket(self._number(), row.id, request.island, request.generation, request.parent_id)
            ticket.source, ticket.seed_name, ticket.description = row.source, request.seed_name, request.description
            yield ticket

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers - 1

    def _start(self, ticket: Ticket) -> None:
        task = asyncio.create_task(self._live(ticket), name=f"proposal {ticket.id}")
        self._tasks.add(task)
        self.parts.status.in_flight += 1

    async def _drained(self) -> None:
        try:
            while self._tasks:
                done, _ = await asyncio.wait(set(self._tasks), return_when=asyncio.FIRST_COMPLETED)
                self._tasks -= done
                failed = [error for task in done if (error := task.exception()) is not None]
                if failed:
                    raise failed[0]
        except BaseException:
            await self.abort()
            raise

    def _launch(self) -> None:
        """Fills the free places with new proposals."""
        while self._room():
            self._start(self._sampler.ticket(self._number(), self._failed))

    def _room(self) -> bool:
        if self.draining or self.parts.status.phase != "evolving":
            return False
        flying = self.parts.status.in_flight
        if flying >= self._capacity or self._fruitless >= FRUITLESS_LIMIT:
            return False
        budget = self.parts.config.budget
        if budget.evaluations and self._evaluations + flying >= budget.evaluations:
            return False
        if budget.time_s and self.parts.status.elapsed_s >= budget.time_s:
            return False
        return not (budget.usd and self.parts.database.cost().known_usd >= budget.usd)

    async def _live(self, ticket: Ticket) -> None:
        result: Scored | EvolveError
        try:
            async with self._prepared.turn(ticket.number):
                await lifecycle.prepare(self.parts, ticket)
            result = await lifecycle.score(self.parts, ticket)
        except RunError:
            raise
        except EvolveError as error:
            result = error
        async with self._committed.turn(ticket.number):
            self._finish(ticket, result)
            # Sampling happens here, before the next number may commit: what it sees follows from numbers alone.
            self.parts.status.in_flight -= 1
            self._launch()
        self.parts.observer.update(self.parts.status)

    def _finish(self, ticket: Ticket, result: Scored | EvolveError) -> None:
        if isinstance(result, Scored):
            self._fruitless = self._provider_failures = 0
            self._evaluations += 1
            self._score(ticket, result)
        else:
            self._fail(ticket, result)
        status, archive = self.parts.status, self.parts.archive
        status.evaluations = self._evaluations
        status.cells_filled, status.cells_total = archive.filled(), archive.size
        cost = self.parts.database.cost()
        status.cost_usd, status.cost_known = cost.known_usd, cost.unknown_calls == 0

    def _fail(self, ticket: Ticket, error: EvolveError) -> None:
        lifecycle.close(self.parts, ticket, error)
        self._evaluations += ticket.evaluating
        self._fruitless = 0 if ticket.evaluating else self._fruitless + 1
        if isinstance(error, Duplicate):
            self.parts.status.duplicates += 1
            return
        self.parts.status.failures[error.reason] += 1
        if ticket.seed_name is not None:
            self._seed_errors.append(error)
            self.parts.observer.message(f"seed {ticket.seed_name} failed: {error}")
            if isinstance(error, EvaluatorError):
                raise error
        if ticket.source is not None:
            self._failed.append(ticket.id)
        if isinstance(error, ProviderError):
            self._provider(ticket, error)

    def _provider(self, ticket: Ticket, error: ProviderError) -> None:
        """Leaves out a service that refuses, or fails time after time; without any other the run stops."""
        self._provider_failures += 1
        refused = isinstance(error, AuthenticationFailed)
        if ticket.proposer is None or not (refused or self._provider_failures >= PROVIDER_FAILURES_LIMIT):
            return
        if not self.parts.ensemble.drop(ticket.proposer.name):
            raise error
        self._provider_failures = 0
        self.parts.observer.message(f"goes on without {ticket.proposer.name}: {error}")

    def _score(self, ticket: Ticket, scored: Scored) -> None:
        evaluation, archive = scored.evaluation, self.parts.archive
        before = archive.best()
        status, cells = self._sampler.add(ticket, evaluation)
        self.parts.database.add_evaluation(
            ticket.id, evaluation, seconds=scored.seconds, phases=scored.phases, archive_status=status, cells=cells,
            provenance=scored.provenance,
        )  # fmt: skip
        if before is None or evaluation.score > before.score:
            self._improved(ticket, scored, before.score if before else None)
        self._sampler.move(ticket.id)

    def _improved(self, ticket: Ticket, scored: Scored, before: float | None) -> None:
        sign, status = self.parts.problem.sign, self.parts.status
        evaluation = scored.evaluation
        status.best, status.best_score = ticket.id, sign * evaluation.score
        status.interval = score_interval(status.best_score, evaluation.outcomes)
        gain = evaluation.score - before if before is not None else 0.0
        found = Improvement(ticket.id, self._evaluations, sign * evaluation.score, sign * gain, ticket.description)
        status.improvements.append(found)
        self.parts.observer.improvement(found)
        self.parts.database.add_event("improvement", {"score": evaluation.score, "gain": gain}, ticket.id)

    @property
    def exhausted(self) -> bool:
        """Whether the run ended because proposals brought nothing new."""
        return self._fruitless >= FRUITLESS_LIMIT
