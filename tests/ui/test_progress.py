from __future__ import annotations

from evolve.ui.progress import lines, progress


def test_a_line_every_five_seconds(capsys):
    now = iter([0.0, 1.0, 4.9, 5.1, 5.1, 9.0, 10.2, 10.2])
    report = lines("merging", lambda: next(now))
    for done in range(5):
        report(done * 10**9, 4 * 10**9)
    assert capsys.readouterr().err.splitlines() == ["merging: 2.00 of 4.00 GB", "merging: 4.00 of 4.00 GB"]


def test_without_a_terminal_short_work_is_silent(capsys):
    with progress("merging") as report:
        report(0, 10)
        report(10, 10)
    assert capsys.readouterr().err == ""
