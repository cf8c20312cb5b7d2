"""How far a long piece of work is: a bar in a terminal, a line every five seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_INTERVAL_S = 5.0


@contextmanager
def progress(task: str) -> Iterator[Callable[[int, int], None]]:
    """A function that takes the bytes done and all bytes."""
    if sys.stderr.isatty():
        with _bar(task) as report:
            yield report
    else:
        yield lines(task)


def lines(task: str, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """Prints to stderr, at most every five seconds."""
    shown = clock()

    def report(done: int, total: int) -> None:
        nonlocal shown
        if clock() - shown >= LINE_INTERVAL_S:
            shown = clock()
            print(f"{task}: {done / 1e9:.2f} of {total / 1e9:.2f} GB", file=sys.stderr, flush=True)

    return report


@contextmanager
def _bar(task: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        number = shown.add_task(task, total=None)
        yield lambda done, total: shown.update(number, completed=done, total=total)
