"""``evolve run`` and ``evolve resume``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evolve.errors import EvolveError, UsageError

if TYPE_CHECKING:
    from evolve.loop.start import Intent

RUNS = click.option("--runs", envvar="EVOLVE_RUNS", help="Folder of all runs.  [default: runs]")
UNSAFE = click.option("--unsafe-sandbox", is_flag=True, help="Run programs even where the sandbox cannot contain them.")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


def duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``15m``, ``2h`` or ``1d``."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)\s*", text)
    if match is None:
        raise UsageError(f"--time takes a duration such as 90s, 15m or 2h, not {text!r}")
    return float(match[1]) * UNITS_S[match[2]]


def pairs(values: tuple[str, ...], option: str) -> dict[str, str]:
    """``NAME=VALUE`` arguments as a dictionary."""
    found = {}
    for value in values:
        name, separator, rest = value.partition("=")
        if not separator or not name or not rest:
            raise UsageError(f"{option} takes NAME=VALUE, not {value!r}")
        found[name] = rest
    return found


def overrides(evaluations: int | None, budget_usd: float | None, time: str | None) -> dict[str, Any]:
    """The budget section that the options ask for."""
    given = {"evaluations": evaluations, "usd": budget_usd, "time_s": duration(time) if time else None}
    for name, value in given.items():
        if value is not None and value < 0:
            raise UsageError(f"the budget {name} must not be negative, not {value}")
    return {name: value for name, value in given.items() if value is not None}


def unsafe(accepted: bool) -> dict[str, Any]:
    """The setting that --unsafe-sandbox stands for."""
    return {"sandbox": {"minimum": "none"}} if accepted else {}


def budget_options(command: Any) -> Any:
    """--evaluations, --budget-usd and --time."""
    for option in (
        click.option("--time", help="Stop proposing after this long, such as 15m or 2h."),
        click.option("--budget-usd", type=float, help="Stop proposing when this much is spent on language models."),
        click.option("--evaluations", type=int, help="Evaluations of the search split, seeds included; 0: no limit."),
    ):
        command = option(command)
    return command


@click.command("run")
@click.argument("problem")
@click.option("--profile", help="A profile of problem.toml.  [default: the problem's]")
@budget_options
@click.option("--seed", type=int, default=0, show_default=True, help="Decides every random choice.")
@click.option(
    "--llm", envvar="EVOLVE_LLM", help="Proposers, such as offline:1,openai/gpt-5-mini:2.  [default: offline]"
)
@click.option("--strategy", help="How programs are proposed, see docs/strategies.md.  [default: evolve]")
@click.option(
    "--models", type=click.Path(dir_okay=False), envvar="EVOLVE_MODELS", help="TOML file with one table per model."
)
@click.option("--device", help="auto, cpu, cuda or cuda:0.  [default: auto]")
@click.option("--workers", type=int, help="Evaluation processes.  [default: by cores, memory and GPUs]")
@click.option("--donor", "donors", multiple=True, metavar="NAME=PATH", help="Use this folder or hub id for a donor.")
@click.option(
    "--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Any other setting, see docs/settings.md."
)
@click.option("--name", help="Name of the run's folder.  [default: problem, time and seed]")
@UNSAFE
@RUNS
@click.option("--plain", is_flag=True, help="Plain lines instead of the live view.")
def run_command(problem: str, profile: str | None, evaluations: int | None, budget_usd: float | None, time: str | None,
                seed: int, llm: str | None, strategy: str | None, models: str | None, device: str | None,
                workers: int | None, donors: tuple[str, ...], settings: tuple[str, ...], name: str | None,
                unsafe_sandbox: bool, runs: str | None, plain: bool) -> int:  # fmt: skip
    """Evolve programs for PROBLEM: a folder with a problem.toml, or the name of a shipped problem.

    The first Ctrl-C finishes what is in flight and prints the command that goes on; a second one aborts.
    """
    from evolve.config import assignment, update
    from evolve.loop import folder as folders
    from evolve.loop import start
    from evolve.problem import load
    from evolve.strategies.registry import require

    chosen = load(problem, profile)
    config = chosen.config()
    if models:
        config = update(config, {"models": read_models(Path(models))}, models, UsageError)
    flags: dict[str, Any] = {
        "seed": seed,
        "budget": overrides(evaluations, budget_usd, time),
        "evaluation": {k: v for k, v in (("device", device), ("workers", workers)) if v is not None},
        "proposals": {"llm": llm} if llm else {},
        "search": {"strategy": strategy} if strategy else {},
    }
    config = update(config, flags, "the command line")
    for text in settings:
        config = update(config, assignment(text), "--set")
    config = update(config, unsafe(unsafe_sandbox), "--unsafe-sandbox")
    require(config.search.strategy)  # before anything is downloaded or prepared
    return go(start.fresh(chosen, config, pairs(donors, "--donor"), folders.runs_root(runs), name), plain)


@click.command("resume")
@click.argument("run", required=False)
@budget_options
@click.option("--workers", type=int, help="Evaluation processes.")
@UNSAFE
@click.option(
    "--accept-changes",
    is_flag=True,
    help="Go on although evaluator, items or donors have changed: old scores are set aside, elites evaluated again.",
)
@RUNS
@click.option("--plain", is_flag=True, help="Plain lines instead of the live view.")
def resume_command(run: str | None, evaluations: int | None, budget_usd: float | None, time: str | None,
                   workers: int | None, unsafe_sandbox: bool, accept_changes: bool, runs: str | None,
                   plain: bool) -> int:  # fmt: skip
    """Go on with RUN (an id, a unique part of one, or a folder; the newest run by default) until its budget is used.

    A larger --evaluations extends a finished run.
    """
    from dataclasses import replace

    from evolve.config import update
    from evolve.loop import folder as folders
    from evolve.loop import start

    intent = start.existing(folders.find(run, folders.runs_root(runs)))
    flags = {
        "budget": overrides(evaluations, budget_usd, time),
        "evaluation": {"workers": workers} if workers is not None else {},
        **unsafe(unsafe_sandbox),
    }
    config = update(intent.config, flags, "the command line")
    return go(replace(intent, config=config, accept_changes=accept_changes), plain)


def read_models(path: Path) -> dict[str, Any]:
    """The tables of a models file (see docs/models.md)."""
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from None
    models: dict[str, Any] = table.get("models", table)
    return models


def go(intent: Intent, plain: bool) -> int:
    """Runs to the end with a view, then prints the table. Returns the exit status: 0, or 130 after Ctrl-C."""
    from evolve.loop.conduct import conduct
    from evolve.ui.plan import plan_text
    from evolve.ui.report import print_report
    from evolve.ui.watch import watcher

    try:
        with watcher(plain) as view:
            for line in plan_text(intent):
                view.message(line)
            ended = asyncio.run(conduct(intent, view))
    except EvolveError as error:
        if not intent.folder.exists():
            raise
        raise type(error)(
            f"{error}; what was finished is kept, go on with: evolve resume {intent.folder.name}"
        ) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        kept = f"what was finished is kept.  Go on with:  evolve resume {intent.folder.name}"
        before = "the run had not begun; what was prepared is kept"
        click.echo(f"aborted; {kept if intent.folder.exists() else before}", err=True)
        return 130
    if not ended:
        click.echo(f"stopped; nothing is lost.  Go on with:  evolve resume {intent.folder.name}")
        return 130
    print_report(intent.folder)
    return 0
