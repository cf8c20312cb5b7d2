"""The lock that makes a process the only writer of a run."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from evolve.errors import DatabaseBusy

_TRIES = 5
_PAUSE_S = 0.02


class RunLock:
    """Holds ``folder/lock`` with flock and writes this process's id into it.

    The kernel drops the lock when the process ends, however it ends, so a file that stays behind blocks nobody. Child
    processes do not inherit it as long as they are started with exec.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the lock or raises DatabaseBusy, which names the process that holds it."""
        self.path = folder / "lock"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._acquire(folder)
        except BaseException:
            os.close(self._file)
            raise

    def _acquire(self, folder: Path) -> None:
        # A reader that asks `holder` has the lock for microseconds: try again before calling the run busy.
        for attempt in range(_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _TRIES - 1:
                    raise DatabaseBusy(
                        f"run {folder.name} is in use by process {_pid(self._file) or 'unknown'}; "
                        "wait until it ends or stop it, then try again"
                    ) from None
                time.sleep(_PAUSE_S)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(folder: Path) -> int | None:
    """The id of the process that writes this run now, None when nobody does."""
    try:
        file = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(file)
    finally:
        os.close(file)
    return None


def _pid(file: int) -> int | None:
    text = os.pread(file, 32, 0).strip()
    return int(text) if text.isdigit() else None
