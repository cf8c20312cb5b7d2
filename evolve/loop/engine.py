"""The steady-state engine: keeps proposals in flight until the budget is used."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evolve.errors import AuthenticationFailed, EvaluatorError, EvolveError, ProposalError, ProviderError, RunError
from evolve.loop import lifecycle
from evolve.loop.ablation import Ablation
from evolve.loop.archiving import Archiving
from evolve.loop.fresh import Freshener
from evolve.loop.learning import Learning
from evolve.loop.lifecycle import Duplicate, Scored, Ticket
from evolve.loop.observer import Improvement
from evolve.loop.order import Turnstile
from evolve.loop.parts import Parts
from evolve.loop.passage import Passage
from evolve.store import inputs, queries
from evolve.store.inputs import AGAIN
from evolve.store.recall import ABLATION
from evolve.store.records import Attempt, ProposalRequest
from evolve.store.tasks import split_interval
from evolve.strategies.base import Ask, Strategy, Told

if TYPE_CHECKING:
    import numpy

FRUITLESS_LIMIT = 300
"""Proposals in a row without an evaluation after which nothing new can be expected."""

PROVIDER_FAILURES_LIMIT = 12
"""Failed calls in a row after which the language-model service is taken to be down."""


class Engine:
    """Runs seeds first, then proposals, each as one task; no task waits for another but for a worker.

    With one worker and the offline proposer alone, proposals are prepared and committed in their order, so that a seed
    decides the whole run.
    """

    def __init__(self, parts: Parts, strategy: Strategy) -> None:
        self.parts = parts
        self.draining = False
        self._strategy = strategy
        self._archiving = Archiving(parts)
        self._passage = Passage(parts)
        self._ablation = Ablation(parts)
        self._freshener = Freshener(parts)
        self._learning = Learning(parts)
        self._again: deque[Ask] = deque()
        ordered = parts.pool.count == 1 and parts.ensemble.offline_only
        self._prepared = Turnstile(ordered)
        self._committed = Turnstile(ordered, closes=True)
        concurrency = 0 if parts.ensemble.offline_only else parts.config.proposals.concurrency
        ahead = 1 if ordered else max(parts.pool.count, concurrency)
        self._capacity = parts.pool.count + ahead
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._evaluations = parts.database.counts().evaluations
        self._fruitless = 0
        self._idle = False
        self._provider_failures = 0
        self._seed_errors: list[EvolveError] = []

    async def run(self) -> None:
        """Evaluates unfinished proposals and seeds, then proposes until the budget is used or the run is drained.

        Raises RunError when no seed can be evaluated, AuthenticationFailed or ProviderError when no proposer is left.
        """
        for attempt in self.parts.database.attempts():
            if attempt.request.patch != ABLATION:
                ended = told(attempt)
                self._strategy.tell(ended)
                self._learning.tell(ended)
        if (best := self.parts.archive.best()) is not None:
            known = self.parts.database.program(best.id)
            assert known.score is not None, "what is in the archive has a score"
            self._show_best(best.id, known.score, known.outcomes)
        with self._interruptible():
            try:
                await self._seeds()
                self.parts.status.phase = "evolving"
                self._launch()
                await self._drained()
            finally:
                await self.abort()

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
        connection = self.parts.database.connection
        rows = queries.baselines(connection)
        known = {row["seed_name"] for row in rows if row["state"] != "abandoned"} - inputs.set_aside(connection)
        for index, (name, source) in enumerate(self.parts.problem.seeds.items()):
            if name in known:
                continue
            island = index % self.parts.config.search.islands
            ask = Ask("problem", source, description=f"seed {name}", patch="seed", island=island)
            self._start(self._begun(ask, name))
        for elite in map(self.parts.database.program, inputs.waiting(connection)):
            told = f"#{elite.id} again"
            ask = Ask(AGAIN, elite.source, description=told, patch=AGAIN, island=elite.island, parent=elite.id)
            self._start(self._begun(ask))
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
            known = row.request
            ask = Ask(
                known.proposer, row.source, description=known.description, patch=known.patch, island=known.island,
                parent=known.parent_id, mate=known.mate_id, inspirations=known.inspirations, note=known.note,
            )  # fmt: skip
            yield Ticket(self._number(), row.id, ask, row.source, known.description, seed_name=known.seed_name)

    def _begun(self, ask: Ask, seed_name: str | None = None) -> Ticket:
        """The ticket of a proposal, which is a row of the database from now on."""
        database = self.parts.database
        generation = 0 if ask.parent is None else database.generation(ask.parent) + 1
        row = ProposalRequest(
            ask.island, generation, ask.patch, ask.arm, ask.parent, ask.mate, ask.inspirations, ask.description,
            seed_name, ask.note, self._learning.prompt_id(ask),
        )  # fmt: skip
        number = database.begin_proposal(row)
        if ask.parent is not None and ask.patch != ABLATION:
            self.parts.archive.begin_child(ask.parent)
        return Ticket(self._number(), number, ask, ask.source, ask.description, seed_name=seed_name)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers - 1

    def _start(self, ticket: Ticket) -> None:
        ticket.conditions = self._passage.conditions(ticket)
        task = asyncio.create_task(self._live(ticket), name=f"proposal {ticket.id}")
        self._tasks.add(task)
        self.parts.status.in_flight += 1

    async def _drained(self) -> None:
        while self._tasks:
            done, _ = await asyncio.wait(set(self._tasks), return_when=asyncio.FIRST_COMPLETED)
            self._tasks -= done
            failed = [error for task in done if (error := task.exception()) is not None]
            if failed:
                raise failed[0]

    def _launch(self) -> None:
        """Fills the free places with new proposals."""
        while self._room():
            ask = self._next()
            if ask is None:
                self._idle = not self.parts.status.in_flight
                return
            self._start(self._begun(ask))

    def _next(self) -> Ask | None:
        """What is proposed next: another try of a request, a due ablation, else what the strategy wants."""
        if self._again:
            return self._again.popleft()
        rng = self._generator(self.parts.database.counts().proposals + 1)
        ask = self._ablation.ask(self._evaluations) or self._strategy.ask(rng)
        return None if ask is None else self._learning.informed(ask, rng)

    def _generator(self, number: int) -> numpy.random.Generator:
        """The generator of proposal ``number``; every random choice of the search comes from one of these."""
        import numpy

        return numpy.random.default_rng([self.parts.config.seed, number % 2**32])

    def _study(self) -> None:
        """Starts the due calls to language models that are no proposals; none where no proposal could follow."""
        if not self._goes_on():
            return
        for call in self._learning.due(self._evaluations):
            self._tasks.add(asyncio.create_task(call, name="learning"))

    def _room(self) -> bool:
        return self.parts.status.in_flight < self._capacity and self._goes_on()

    def _goes_on(self) -> bool:
        """Whether the budget allows more proposals than are in flight."""
        if self.draining or self.parts.status.phase != "evolving" or self._fruitless >= FRUITLESS_LIMIT:
            return False
        flying = self.parts.status.in_flight
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
                await self._passage.prepare(ticket)
            result = await self._passage.score(ticket)
        except RunError:
            raise
        except EvolveError as error:
            result = error
        async with self._committed.turn(ticket.number):
            self._finish(ticket, result)
            if (elite := self._freshener.due(self._evaluations)) is not None:
                await self._freshener.refresh(elite)
            # Sampling happens here, before the next number may commit: what it sees follows from numbers alone.
            self.parts.status.in_flight -= 1
            self._launch()
            self._study()
        self.parts.observer.update(self.parts.status)

    def _finish(self, ticket: Ticket, result: Scored | EvolveError) -> None:
        if isinstance(result, Scored):
            self._fruitless = self._provider_failures = 0
            self._evaluations += 1
            self._score(ticket, result)
        else:
            self._fail(ticket, result)
        self._learn(ticket, result)
        status, archive = self.parts.status, self.parts.archive
        status.evaluations = self._evaluations
        status.cells_filled, status.cells_total = archive.filled(), archive.size
        cost = self.parts.database.cost()
        status.cost_usd, status.cost_known = cost.known_usd, cost.unknown_calls == 0

    def _learn(self, ticket: Ticket, result: Scored | EvolveError) -> None:
        """Tells everyone who learns from how proposals end."""
        if ticket.ask.patch != ABLATION:
            ended = told(self.parts.database.attempt(ticket.id))
            self._strategy.tell(ended)
            self._learning.tell(ended)
        if self._passage.prediction is not None:
            whole = result if isinstance(result, Scored) and result.stopped is None else None
            self._passage.prediction.learn(ticket.id, whole.evaluation.score if whole else None)
        again = self._passage.novelty.again(ticket, result, self._generator(ticket.id))
        if again is not None:
            self._again.append(again)

    def _fail(self, ticket: Ticket, error: EvolveError) -> None:
        lifecycle.close(self.parts, ticket, error)
        used = ticket.evaluating and not isinstance(error, ProposalError)
        self._evaluations += used
        self._fruitless = 0 if used else self._fruitless + 1
        if isinstance(error, Duplicate):
            self.parts.status.duplicates += 1
            return
        self.parts.status.failures[error.reason] += 1
        if ticket.seed_name is not None:
            self._seed_errors.append(error)
            self.parts.observer.message(f"seed {ticket.seed_name} failed: {error}")
            if isinstance(error, EvaluatorError):
                raise error
        if isinstance(error, ProviderError):
            self._provider(ticket, error)

    def _provider(self, ticket: Ticket, error: ProviderError) -> None:
        """Leaves out a service that refuses, or fails time after time; without any other the run stops."""
        self._provider_failures += 1
        refused = isinstance(error, AuthenticationFailed)
        proposer = ticket.ask.proposer
        if proposer is None or not (refused or self._provider_failures >= PROVIDER_FAILURES_LIMIT):
            return
        if not self.parts.ensemble.drop(proposer.name):
            raise error
        self._provider_failures = 0
        self.parts.observer.message(f"goes on without {proposer.name}: {error}")

    def _score(self, ticket: Ticket, scored: Scored) -> None:
        evaluation, archive = scored.evaluation, self.parts.archive
        before = archive.best()
        eligible = scored.stopped is None and ticket.ask.patch != ABLATION
        status, cells = self._archiving.add(ticket, evaluation) if eligible else ("not_added", [])
        self.parts.database.add_evaluation(
            ticket.id, evaluation, seconds=scored.seconds, phases=scored.phases, archive_status=status, cells=cells,
            provenance=scored.provenance, stopped=scored.stopped, items_total=scored.items_total,
        )  # fmt: skip
        if not eligible:
            return
        if before is None or evaluation.score > before.score:
            self._improved(ticket, scored, before.score if before else None)
        self._archiving.move(self._generator(-ticket.id))

    def _improved(self, ticket: Ticket, scored: Scored, before: float | None) -> None:
        sign, status = self.parts.problem.sign, self.parts.status
        evaluation = scored.evaluation
        self._show_best(ticket.id, evaluation.score, evaluation.outcomes)
        gain = evaluation.score - before if before is not None else 0.0
        found = Improvement(ticket.id, self._evaluations, sign * evaluation.score, sign * gain, ticket.description)
        status.improvements.append(found)
        self.parts.observer.improvement(found)
        self.parts.database.add_event("improvement", {"score": evaluation.score, "gain": gain}, ticket.id)

    def _show_best(self, number: int, score: float, outcomes: Sequence[float]) -> None:
        status, connection = self.parts.status, self.parts.database.connection
        status.best, status.best_score = number, self.parts.problem.sign * score
        status.interval = split_interval(connection, "search", status.best_score, outcomes)

    @property
    def exhausted(self) -> bool:
        """Whether the run ended because proposals brought nothing new, or the strategy had none."""
        return self._idle or self._fruitless >= FRUITLESS_LIMIT


def told(attempt: Attempt) -> Told:
    """An ended proposal as strategies learn of it."""
    request = attempt.request
    return Told(
        attempt.id,
        request.proposer,
        request.note,
        attempt.source,
        attempt.score,
        parent=request.parent_id,
        parent_score=attempt.parent_score,
        used=attempt.evaluated,
        whole=attempt.whole,
        seed_name=request.seed_name,
        state=attempt.state,
        reason=attempt.reason,
        patch=request.patch,
        island=request.island,
        archived=attempt.archived,
        outcomes=attempt.outcomes,
        seconds=attempt.seconds,
        cost_usd=attempt.cost_usd,
    )
