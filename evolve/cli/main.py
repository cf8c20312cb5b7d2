"""The ``evolve`` command: a group that imports a command's module only when that command runs."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from evolve import __version__
from evolve.errors import EvolveError

COMMANDS = {
    "run": ("evolve.cli.run", "Start an evolution of a problem."),
    "resume": ("evolve.cli.run", "Go on with a run that was stopped or killed."),
    "ls": ("evolve.cli.inspect", "List runs, or the programs of one run."),
    "show": ("evolve.cli.inspect", "Show one program: source, scores, origin, fate."),
    "diff": ("evolve.cli.inspect", "Compare two programs: text, scores, items that flipped."),
    "best": ("evolve.cli.inspect", "Print the best program of a run."),
    "archive": ("evolve.cli.archive", "Print the MAP-Elites grid of a run."),
    "lineage": ("evolve.cli.lineage", "Print where a program comes from and what came of it."),
    "stats": ("evolve.cli.stats", "Show what each proposer brought and cost."),
    "db": ("evolve.cli.db", "Check, copy or upgrade the database of a run."),
    "merge-runs": ("evolve.cli.db", "Import the elites of other runs of the same problem."),
    "tune": ("evolve.cli.tune", "Tune the numbers of a program."),
    "test": ("evolve.cli.model", "Read the sealed test split for a program."),
    "export": ("evolve.cli.model", "Write a merged model as a Hugging Face checkpoint."),
    "donors": ("evolve.cli.donors", "List donors, and prepare statistics of them for recipes."),
    "import": ("evolve.cli.convert", "Turn a mergekit configuration into a recipe."),
    "merge": ("evolve.cli.merge", "Build the model of a recipe file, outside any run."),
    "new": ("evolve.cli.new", "Write a new problem that runs at once."),
    "check": ("evolve.cli.check", "Check a problem folder before running it."),
    "doctor": ("evolve.cli.doctor", "Report what this machine can do."),
}


class LazyGroup(click.Group):
    """Knows the names and one-line helps of its commands; imports a module to run or describe a command in full."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from evolve.config import nearest

            raise click.UsageError(f"there is no command {args[0]!r}; {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="evolve")
@click.option("--debug", is_flag=True, envvar="EVOLVE_DEBUG", help="Show a traceback instead of one line on an error.")
def cli(debug: bool) -> None:
    """Discover model-merge recipes by evolving small PyTorch programs.

    Start with: evolve run problems/jp_math
    """


def main() -> None:
    """Entry point: an EvolveError becomes one line on stderr and exit status 1."""
    # Before numpy loads: on cores that workers share, two BLAS threads took 4.6 s for what one does in 0.04 s.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    debug = "--debug" in sys.argv or bool(os.environ.get("EVOLVE_DEBUG"))
    try:
        status: Any = cli.main(prog_name="evolve", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except EvolveError as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        click.echo(f"error: {error}; --debug shows where", err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
