"""Nobody reads what a run prints: it goes on all the same."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import threading
import time

import pytest

EVALUATIONS = 8


def full(target):
    """Fills a pipe or a terminal until it takes nothing more."""
    os.set_blocking(target, False)
    try:
        while True:
            os.write(target, b"." * 512)
    except BlockingIOError:
        os.set_blocking(target, True)


@pytest.fixture
def started(terminal):
    """A function that starts a run whose standard output is full, at once or once it evaluates, and waits until the
    run has finished."""

    def start(target, at_once=True):
        if at_once:
            full(target)
        environment = {**terminal.environment, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        process = subprocess.Popen(
            terminal.command("run", "program", "--name", "p", "--evaluations", EVALUATIONS, "--workers", 1),
            stdout=target, stderr=subprocess.PIPE, text=True, cwd=terminal.folder, env=environment,
        )  # fmt: skip
        while not at_once and not ((terminal.runs / "p" / "workers").exists() or process.poll() is not None):
            time.sleep(0.02)
        full(target)
        os.close(target)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and process.poll() is None:
            if (terminal.runs / "p" / "evolve.db").exists() and terminal.summary("p")["state"] == "finished":
                break
            time.sleep(0.05)
        summary = terminal.summary("p")
        assert (summary["state"], summary["evaluations"]) == ("finished", EVALUATIONS)
        assert process.poll() is None, "it waits to print the table"
        return process

    return start


def test_a_pipe_that_nobody_reads_holds_up_nothing_and_tells_all_once_read(started):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = started(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read().lstrip(b".").decode()
    process.communicate(timeout=120)
    assert process.returncode == 0
    for words in ("problem    program", "starting workers", "best program (#", "next:  evolve best p"):
        assert words in text
    assert "left out" not in text


def test_a_reader_that_goes_away_ends_the_waiting(started):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = started(writer)
    os.close(reader)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, ""), "as other commands end whose output nobody wants"


def test_a_terminal_that_stands_still_holds_up_nothing(started):
    master, slave = pty.openpty()
    process = started(slave, at_once=False)
    drained = threading.Thread(target=drain, args=(master,))
    drained.start()
    process.communicate(timeout=120)
    drained.join()
    assert process.returncode == 0


def drain(master):
    """Reads a terminal until its last writer is gone."""
    try:
        while os.read(master, 65536):
            pass
    except OSError:
        os.close(master)
