"""Runs a problem's prepare hook, which builds donors and splits, in a process of its own.

The hook is a Python file with ``recipe(settings) -> dict`` and ``prepare(folder, settings, progress)``. The recipe is
all that the result depends on; its digest names the folder. The process (``python -m evolve.evaluate.preparation``)
reads one JSON object on standard input and writes JSON lines: ``{"task", "done", "total"}`` for progress, then
``{"folder"}`` or ``{"error"}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from evolve.errors import PreparationError
from evolve.evaluate.environment import inherited
from evolve.evaluate.evaluator import cause, load_module
from evolve.evaluate.worker import die_with_parent, take_output

COMPLETE = "complete.json"
_LINE_BYTES = 2**20

Progress = Callable[[str, int, int], None]


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """sha256 (hex) of a hook's recipe, blind to the order of keys. Raises PreparationError for what is no JSON."""
    try:
        text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PreparationError(f"recipe() returned what JSON cannot hold: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()


async def run_hook(
    hook: Path, settings: Mapping[str, Any], cache_root: Path, problem: str, profile: str, on_progress: Progress
) -> Path:
    """The complete folder ``cache_root/problem/profile-<digest16>``, built by the hook unless it is there.

    ``on_progress`` gets (task, done, total). Raises PreparationError with the cause and the path of the log. When
    cancelled, the hook's processes are killed; the folder stays and the next run goes on from it.
    """
    root = cache_root / problem
    root.mkdir(parents=True, exist_ok=True)
    log_path = root / f"{profile}.log"
    order = {"hook": str(hook), "settings": dict(settings), "root": str(root), "profile": profile}
    with log_path.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "evolve.evaluate.preparation",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=inherited(),
            limit=_LINE_BYTES,
            start_new_session=True,
        )
    try:
        message = await _follow(process, order, on_progress)
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if "folder" in message:
        return Path(message["folder"])
    cause = message.get("error", f"its process ended with status {process.returncode}")
    raise PreparationError(f"preparing {problem} ({profile}) failed: {cause}; see {log_path}")


async def _follow(
    process: asyncio.subprocess.Process, order: Mapping[str, Any], on_progress: Progress
) -> dict[str, Any]:
    """Passes progress on until the process says how it ended."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdin.drain()
    message: dict[str, Any] = {}
    while line := await process.stdout.readline():
        message = json.loads(line)
        if "task" not in message:
            break
        on_progress(str(message["task"]), int(message["done"]), int(message["total"]))
    process.stdin.close()
    return message if "task" not in message else {}


def main() -> int:
    die_with_parent()
    order = json.loads(sys.stdin.buffer.readline())
    output = take_output()
    try:
        folder = _prepare(Path(order["hook"]), order["settings"], Path(order["root"]), order["profile"], output)
    except PreparationError as error:
        _say(output, error=str(error))
        return 1
    _say(output, folder=str(folder))
    return 0


def _prepare(hook: Path, settings: dict[str, Any], root: Path, profile: str, output: BinaryIO) -> Path:
    def progress(task: str, done: int, total: int) -> None:
        _say(output, task=str(task), done=int(done), total=int(total))

    module = load_module(hook, "evolve_problem_prepare", PreparationError)
    recipe = _call(hook, module, "recipe", settings)
    folder = root / f"{profile}-{recipe_digest(recipe)[:16]}"
    if _is_complete(folder, recipe):
        return folder
    with locked(folder, progress):
        if not _is_complete(folder, recipe):  # someone else may have finished it meanwhile
            folder.mkdir(exist_ok=True)
            _call(hook, module, "prepare", folder, settings, progress)
            _write_complete(folder, recipe)
    return folder


def _call(hook: Path, module: Any, name: str, *arguments: Any) -> Any:
    function = getattr(module, name, None)
    if not callable(function):
        raise PreparationError(f"{hook.name} defines no function {name}()")
    try:
        return function(*arguments)
    except PreparationError:
        raise
    # a process boundary: whatever a problem's code raises ends the preparation with one line
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        raise PreparationError(cause(error, hook)) from error


def _is_complete(folder: Path, recipe: Any) -> bool:
    try:
        return bool(
            json.loads((folder / COMPLETE).read_text(encoding="utf-8"))["recipe"] == json.loads(json.dumps(recipe))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_complete(folder: Path, recipe: Any) -> None:
    unfinished = folder / f".{COMPLETE}"
    unfinished.write_text(json.dumps({"recipe": recipe, "digest": recipe_digest(recipe)}, indent=1), encoding="utf-8")
    unfinished.replace(folder / COMPLETE)


@contextlib.contextmanager
def locked(folder: Path, progress: Progress) -> Iterator[None]:
    """Holds ``<folder>.lock``, so that one process at a time makes what lies there."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that prepares the same", 0, 0)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(output: BinaryIO, **message: Any) -> None:
    output.write(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
