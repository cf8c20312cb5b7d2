"""Observers of a run: a live view for terminals, plain lines for everything else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from evolve.loop.observer import Improvement, Observer, Status
from evolve.ui.printing import Printer, stdout_printer
from evolve.ui.table import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import TaskID

PLAIN_INTERVAL_S = 15.0
IMPROVEMENTS_SHOWN = 6


class Watcher(Observer, Protocol):
    """An observer that owns the terminal while it is entered."""

    def __enter__(self) -> Watcher: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def watcher(quiet: bool = False) -> Watcher:
    """The live view when stdout is a terminal, plain lines otherwise (or with ``quiet``)."""
    if sys.stdout.isatty() and not quiet:
        return LiveWatcher()
    return PlainWatcher()


def score_text(status: Status) -> str:
    """The best score with its 95 % interval where there is one."""
    if status.best_score is None:
        return "none yet"
    if status.interval is None:
        return f"{status.best_score:.6g}"
    return f"{status.best_score:.4f} [{status.interval.low:.4f}, {status.interval.high:.4f}]"


def failures_text(status: Status) -> str:
    """Failures by reason, most frequent first."""
    parts = [f"{reason} {count}" for reason, count in status.failures.most_common(5)]
    return ", ".join(parts) or "none"


def cost_text(status: Status) -> str:
    return f"${status.cost_usd:.4f}" + ("" if status.cost_known else " and calls of unknown price")


class PlainWatcher:
    """One line for each improvement and phase, and one of progress every 15 seconds; while it is entered, printed by a
    thread of its own."""

    def __init__(self) -> None:
        self._printer: Printer | None = None
        self._shown = time.monotonic()
        self._phase = ""
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> PlainWatcher:
        self._printer = stdout_printer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._printer is not None:
            self._printer.close()
            self._printer = None

    def message(self, text: str) -> None:
        if self._printer is not None:
            self._printer.put(printable(text))
        else:
            print(printable(text), flush=True)

    def preparation(self, task: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if self._tasks.get(task) != tenth:
            self._tasks[task] = tenth
            self.message(f"prepare  {task}: {100 * done // max(total, 1)} %")

    def update(self, status: Status) -> None:
        now = time.monotonic()
        if status.phase != self._phase or now - self._shown >= PLAIN_INTERVAL_S:
            self._phase, self._shown = status.phase, now
            limit = f"/{status.evaluations_limit}" if status.evaluations_limit else ""
            self.message(
                f"{status.phase}  {status.evaluations}{limit} evaluations  best {score_text(status)}  "
                f"cells {status.cells_filled}/{status.cells_total}  failures {sum(status.failures.values())}  "
                f"duplicates {status.duplicates}  cost {cost_text(status)}"
            )

    def improvement(self, found: Improvement) -> None:
        self.message(
            f"{found.evaluations:>6}  best {found.score:.6g} (+{found.gain:.4g})  #{found.program}  {found.description}"
        )


class LiveWatcher:
    """A rich live view: progress, best score, archive, recent improvements, failures, cost."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = console or Console()
        self._preparing = Progress(
            TextColumn("{task.description:>24}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._status: Status | None = None
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._render, transient=True)
        self._printer: Printer | None = None

    def __enter__(self) -> LiveWatcher:
        self._live.__enter__()
        self._printer = Printer(lambda text: self._console.print(text, highlight=False, markup=False))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._printer is not None, "it has been entered"
        self._printer.close()
        self._live.__exit__(kind, error, trace)

    def message(self, text: str) -> None:
        assert self._printer is not None, "it has been entered"
        self._printer.put(printable(text))

    def preparation(self, task: str, done: int, total: int) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._preparing.add_task(task, total=total)
        self._preparing.update(self._tasks[task], completed=done, total=total)

    def update(self, status: Status) -> None:
        self._status = status

    def improvement(self, found: Improvement) -> None:
        """Shown by the next refresh, from the status."""

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel

        if self._status is None:
            return self._preparing if self._tasks else Panel("starting", width=60)
        return Panel(Group(*run_view(self._status)), title=f"evolve: {self._status.phase}", border_style="cyan")


def run_view(status: Status) -> list[RenderableType]:
    """The parts of the live view of a run."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    minutes, seconds = divmod(int(status.elapsed_s), 60)
    rate = status.evaluations / status.elapsed_s if status.elapsed_s > 1 else 0.0
    limit = f" of {status.evaluations_limit}" if status.evaluations_limit else ""
    figures = Table.grid(padding=(0, 2))
    figures.add_column(style="dim")
    figures.add_column()
    pace = f"{status.in_flight} in flight, {rate:.2f}/s, {minutes}:{seconds:02d}"
    rows = [
        ("evaluations", f"{status.evaluations}{limit}, {pace}"),
        ("best", f"{score_text(status)}" + (f"  program {status.best}" if status.best is not None else "")),
        ("archive", f"{status.cells_filled} of {status.cells_total} cells"),
        ("failures", f"{failures_text(status)}; duplicates {status.duplicates}"),
        ("cost", cost_text(status)),
    ]  # fmt: skip
    for name, value in rows:
        figures.add_row(name, Text(value))
    if status.evaluations_limit:
        done = min(status.evaluations, status.evaluations_limit)
        figures.add_row("", ProgressBar(total=status.evaluations_limit, completed=done, width=60))
    parts: list[RenderableType] = [figures]
    if status.improvements:
        recent = Table(box=None, padding=(0, 1), title="recent improvements", title_justify="left", title_style="dim")
        for name, justify in (
            ("at", "right"),
            ("score", "right"),
            ("gain", "right"),
            ("program", "right"),
            ("how", "left"),
        ):
            recent.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
        for found in status.improvements[-IMPROVEMENTS_SHOWN:]:
            figures_of = (str(found.evaluations), f"{found.score:.4f}", f"{found.gain:+.4f}", str(found.program))
            recent.add_row(*figures_of, Text(printable(found.description)))
        parts.append(recent)
    return parts
