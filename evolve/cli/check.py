"""``evolve check``: is a problem folder ready for a run?"""

from __future__ import annotations

import asyncio

import click


@click.command("check")
@click.argument("problem")
@click.option("--profile", help="A profile of problem.toml.  [default: the problem's]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:0.")
def check_command(problem: str, profile: str | None, device: str) -> int:
    """Check PROBLEM: it loads, its seeds score twice the same, a broken and an endless program get clear errors.

    Exit status 1 when anything is wrong.
    """
    from evolve.config import update
    from evolve.loop.checkup import findings
    from evolve.problem import load
    from evolve.ui.watch import PlainWatcher

    chosen = load(problem, profile)
    config = update(chosen.config(), {"evaluation": {"device": device}}, "the command line")

    async def show() -> int:
        wrong = 0
        async for found in findings(chosen, config, PlainWatcher()):
            wrong += not found.fine
            timing = "" if found.seconds is None else f"  ({found.seconds:.2f} s)"
            click.echo(f"{'ok  ' if found.fine else 'FAIL'} {found.what}: {found.detail}{timing}")
        return wrong

    wrong = asyncio.run(show())
    click.echo(f"{problem}: {'ready' if not wrong else f'{wrong} things to mend'}")
    return min(wrong, 1)
