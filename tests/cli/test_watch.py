from __future__ import annotations

import io

from rich.console import Console, Group

from evolve.loop.observer import Improvement, Status
from evolve.statistics import Interval
from evolve.ui.table import printable, render
from evolve.ui.watch import PlainWatcher, run_view


def status():
    found = Status(phase="evolving", evaluations=12, evaluations_limit=40, cells_filled=3, cells_total=9, in_flight=4)
    found.best, found.best_score, found.interval = 7, 0.5, Interval(0.4, 0.6)
    found.failures.update(["timeout", "timeout", "shape"])
    found.improvements.append(Improvement(7, 11, 0.5, 0.1, "perturb \x1b[31m[red]x 1 -> 2"))
    return found


def test_the_live_view_shows_every_figure():
    out = io.StringIO()
    Console(file=out, width=120).print(Group(*run_view(status())))
    text = out.getvalue()
    for word in ("12 of 40, 4 in flight", "0.5000 [0.4000, 0.6000]  program 7", "3 of 9 cells", "timeout 2, shape 1",
                 "$0.0000", "+0.1000", "[red]x 1 -> 2"):  # fmt: skip
        assert word in text, text
    assert "\x1b[31m" not in text


def test_plain_lines_tell_phases_once_and_improvements(capsys):
    with PlainWatcher() as watcher:
        watcher.update(status())
        watcher.update(status())
        watcher.improvement(status().improvements[0])
        for done in (0, 1, 50, 51, 100):
            watcher.preparation("training", done, 100)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("evolving  12/40 evaluations") for line in lines) == 1
    assert [line for line in lines if "training" in line] == [
        "prepare  training: 0 %", "prepare  training: 50 %", "prepare  training: 100 %",
    ]  # fmt: skip
    assert "\x1b" not in "".join(lines)


def test_tables_keep_the_terminal_safe_and_json_whole():
    rows = [{"id": 1, "text": "a\x1b[2Jb\nc", "score": 0.123456789}]
    assert "\x1b" not in render(rows, ("id", "text", "score"))
    assert "0.1235" in render(rows, ("id", "score"))
    assert '"score": 0.123456789' in render(rows, ("id", "score"), "json")
    assert render(rows, ("id", "score"), "csv") == "id,score\n1,0.123456789"
    assert printable("é\x07x") == "é x"
