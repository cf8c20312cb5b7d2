from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from evolve.errors import PreparationError
from evolve.evaluate.preparation import recipe_digest, run_hook

HOOK = """
import os, subprocess, sys, time

def recipe(settings):
    return {"version": 1, "size": settings["size"]}

def prepare(folder, settings, progress):
    print("building on standard output")
    for step in range(3):
        progress("train", step, 3)
        done = folder / f"part-{step}"
        if done.exists():
            continue
        if settings.get("fail") == step:
            raise ValueError("loss is\\nnot finite")
        if settings.get("hang") == step:
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (folder / "pids").write_text(f"{os.getpid()} {child.pid}")
            progress("hanging", 0, 0)
            time.sleep(600)
        done.write_text(str(os.getpid()))
    progress("train", 3, 3)
"""


def _hook(folder: Path, text: str = HOOK) -> Path:
    path = folder / "zoo.py"
    path.write_text(text)
    return path


def _run(folder: Path, settings: dict[str, Any], seen: list[Any] | None = None) -> Path:
    def record(*progress: Any) -> None:
        if seen is not None:
            seen.append(progress)

    return asyncio.run(run_hook(folder / "zoo.py", settings, folder / "cache", "toy", "tiny", record))


def test_a_folder_is_built_once_with_progress(tmp_path):
    _hook(tmp_path)
    seen: list[Any] = []
    folder = _run(tmp_path, {"size": 4}, seen)
    recipe = {"size": 4, "version": 1}
    assert folder == tmp_path / "cache" / "toy" / f"tiny-{recipe_digest(recipe)[:16]}"
    assert seen == [("train", 0, 3), ("train", 1, 3), ("train", 2, 3), ("train", 3, 3)]
    assert json.loads((folder / "complete.json").read_text())["recipe"] == recipe
    assert "building on standard output" in (tmp_path / "cache" / "toy" / "tiny.log").read_text()
    seen.clear()
    # Settings that the recipe leaves out do not change the folder.
    assert _run(tmp_path, {"size": 4, "fail": 0}, seen) == folder
    assert seen == []
    assert _run(tmp_path, {"size": 5}) != folder


def test_a_failure_is_one_line_and_the_next_run_goes_on(tmp_path):
    _hook(tmp_path)
    with pytest.raises(PreparationError) as caught:
        _run(tmp_path, {"size": 4, "fail": 2})
    log = tmp_path / "cache" / "toy" / "tiny.log"
    assert str(caught.value) == (
        f"preparing toy (tiny) failed: zoo.py, line 15: ValueError: loss is not finite; see {log}"
    )
    assert "Traceback" in log.read_text()
    (unfinished,) = (path for path in (tmp_path / "cache" / "toy").iterdir() if path.is_dir())
    assert not (unfinished / "complete.json").exists()
    builder = (unfinished / "part-1").read_text()
    folder = _run(tmp_path, {"size": 4})
    assert folder == unfinished
    assert (folder / "part-1").read_text() == builder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module_here\n", r"zoo\.py, line 1: ModuleNotFoundError"),
        ("def recipe(settings): return {}\n", r"zoo\.py defines no function prepare\(\)"),
        ("def recipe(settings): return {'a': {1}}\n", r"recipe\(\) returned what JSON cannot hold"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "its process ended with status -9"),
    ],
)
def test_unusable_hooks_say_why(tmp_path, text, message):
    _hook(tmp_path, text)
    with pytest.raises(PreparationError, match=message):
        _run(tmp_path, {})


def test_cancelling_kills_the_hook_and_its_children(tmp_path):
    _hook(tmp_path)

    async def cancelled() -> None:
        hanging = asyncio.Event()

        def watch(task: str, done: int, total: int) -> None:
            if task == "hanging":
                hanging.set()

        settings = {"size": 4, "hang": 1}
        run = asyncio.ensure_future(run_hook(tmp_path / "zoo.py", settings, tmp_path / "cache", "toy", "tiny", watch))
        await hanging.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancelled())
    (folder,) = (path for path in (tmp_path / "cache" / "toy").iterdir() if path.is_dir())
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    deadline = time.monotonic() + 60
    while any(_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(_running(pid) for pid in pids)
    assert (folder / "part-0").exists()
    assert _run(tmp_path, {"size": 4}) == folder


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_runs_at_once_build_once(tmp_path):
    _hook(tmp_path, HOOK.replace("done.write_text", "time.sleep(0.1); done.write_text"))
    waits: list[str] = []

    async def both() -> list[Path]:
        def watch(task: str, done: int, total: int) -> None:
            waits.append(task)

        runs = (run_hook(tmp_path / "zoo.py", {"size": 4}, tmp_path / "cache", "toy", "tiny", watch) for _ in range(2))
        return list(await asyncio.gather(*runs))

    one, other = asyncio.run(both())
    assert one == other
    assert waits.count("train") == 4
    assert len({(one / f"part-{step}").read_text() for step in range(3)}) == 1


def test_the_digest_of_a_recipe_ignores_the_order_of_keys():
    assert recipe_digest({"a": 1, "b": [1.5]}) == recipe_digest({"b": [1.5], "a": 1})
    assert recipe_digest({"a": 1}) != recipe_digest({"a": 2})


def test_the_hook_gets_no_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    _hook(tmp_path, "import os\ndef recipe(settings):\n    return {'names': sorted(os.environ)}\n"
                    "def prepare(folder, settings, progress): ...\n")  # fmt: skip
    folder = _run(tmp_path, {})
    assert "OPENAI_API_KEY" in os.environ
    assert "OPENAI_API_KEY" not in (folder / "complete.json").read_text()
