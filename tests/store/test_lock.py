import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.errors import DatabaseBusy
from evolve.store.lock import RunLock, holder

HOLD = """
import sys
from pathlib import Path
from evolve.store.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_opener_learns_who_holds_the_lock(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(DatabaseBusy, match=rf"in use by process {os.getpid()}; wait until"):
        RunLock(tmp_path)


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    lock.release()
    lock.release()
    assert holder(tmp_path) is None
    RunLock(tmp_path).release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert holder(tmp_path) == process.pid
        with pytest.raises(DatabaseBusy, match=f"process {process.pid}"):
            RunLock(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert holder(tmp_path) is None
    RunLock(tmp_path).release()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        RunLock(tmp_path).release()
        child.communicate(b"\n")


def test_a_folder_without_a_run_has_no_holder(tmp_path: Path) -> None:
    assert holder(tmp_path / "nowhere") is None
