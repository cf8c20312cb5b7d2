"""One run from start to end, or to where it was stopped."""

from __future__ import annotations

from evolve.errors import EvolveError
from evolve.loop.engine import Engine
from evolve.loop.finale import conclude
from evolve.loop.observer import Observer
from evolve.loop.start import Intent, assembled
from evolve.loop.strategy import strategy_of


async def conduct(intent: Intent, observer: Observer) -> bool:
    """Runs or goes on until the budget is used, then concludes. Returns False when a person stopped it before that.

    Raises EvolveError when it cannot start or go on; the database then says ``failed`` and keeps everything.
    """
    async with assembled(intent, observer) as parts:
        database = parts.database
        database.set_run_state("running")
        database.add_event("resume" if intent.resumed else "start", {"workers": parts.pool.count})
        engine = Engine(parts, strategy_of(parts))
        try:
            await engine.run()
            if engine.draining:
                database.set_run_state("stopped")
                return False
            if engine.exhausted:
                observer.message("the proposers bring nothing new any more; ending here")
            await conclude(parts)
        except EvolveError:
            database.set_run_state("failed")
            raise
        except BaseException:
            database.set_run_state("stopped")
            raise
        database.set_run_state("finished")
        return True
