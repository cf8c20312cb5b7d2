from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import CandidateError, SandboxCrash, SandboxError, SandboxTimeout, ShapeMismatch
from evolve.sandbox import Sandbox, SandboxLimits

ENTRIES = str(Path(__file__).parent / "entries")
LIMITS = SandboxLimits(wall_s=20, memory_bytes=256 * 2**20)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("sandbox_entries:echo", ("numpy",), LIMITS, path=[ENTRIES]) as sandbox:
        yield sandbox


def test_data_and_arrays_go_there_and_back(sandbox: Sandbox) -> None:
    reply, arrays = sandbox.run({"text": "é\n"}, {"a": np.arange(3.0)})
    assert reply["request"] == {"text": "é\n"}
    np.testing.assert_array_equal(arrays["a"], [0.0, 2.0, 4.0])


def test_each_run_has_a_fresh_process(sandbox: Sandbox) -> None:
    first, second = sandbox.run({})[0], sandbox.run({})[0]
    assert first["calls"] == second["calls"] == 1
    assert first["pid"] != second["pid"]


def test_requests_larger_than_a_pipe_arrive(sandbox: Sandbox) -> None:
    array = np.random.default_rng(0).random(300_000)
    reply, arrays = sandbox.run({"text": "x" * 10**6}, {"a": array})
    assert len(reply["request"]["text"]) == 10**6
    np.testing.assert_array_equal(arrays["a"], 2 * array)


def test_known_errors_keep_their_class_and_line(sandbox: Sandbox) -> None:
    with pytest.raises(ShapeMismatch, match=re.escape("(2, 3) and (4,) do not fit")) as caught:
        sandbox.run({"mismatch": True})
    assert caught.value.line == 7


def test_simultaneous_runs_get_their_own_replies(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: sandbox.run({"number": number})[0], range(32)))
    assert [reply["request"]["number"] for reply in replies] == list(range(32))
    assert len({reply["pid"] for reply in replies}) == 32


def test_a_slow_run_does_not_hold_up_the_others(sandbox: Sandbox) -> None:
    done = threading.Event()

    def slow() -> None:
        with pytest.raises(SandboxTimeout):
            sandbox.run({"sleep_s": 60}, timeout_s=1.0)
        done.set()

    thread = threading.Thread(target=slow)
    thread.start()
    sandbox.run({})
    assert not done.is_set()
    thread.join()
    assert done.is_set()


def test_a_session_keeps_its_process(sandbox: Sandbox) -> None:
    with sandbox.session({"first": 1}) as session:
        first = session.first[0]
        second = session.call({}, {"a": np.ones(2)})
        assert (first["calls"], second[0]["calls"]) == (1, 2)
        assert first["pid"] == second[0]["pid"]
        np.testing.assert_array_equal(second[1]["a"], [2.0, 2.0])
        with pytest.raises(ShapeMismatch):
            session.call({"mismatch": True})
        assert session.alive
        assert session.call({})[0]["calls"] == 4
    assert not session.alive
    assert not Path(f"/proc/{first['pid']}").exists()


@pytest.mark.parametrize(
    ("request_", "kind", "timeout_s"), [({"sleep_s": 60}, SandboxTimeout, 0.1), ({"crash": 1}, SandboxCrash, 9.0)]
)
def test_a_session_that_failed_is_over_and_says_so(
    sandbox: Sandbox, request_: dict, kind: type[Exception], timeout_s: float
) -> None:
    session = sandbox.session({})
    with pytest.raises(kind):
        session.call(request_, timeout_s=timeout_s)
    assert not session.alive
    with pytest.raises(SandboxCrash, match=r"this session has ended \(.+\); start a new one"):
        session.call({})
    assert not Path(f"/proc/{session.first[0]['pid']}").exists()


def test_a_session_survives_a_request_it_cannot_send(sandbox: Sandbox) -> None:
    with sandbox.session({}) as session:
        with pytest.raises(TypeError):
            session.call({"a": {1}})
        assert session.call({})[0]["calls"] == 2


def wait_until_gone(process: int) -> None:
    """The kernel kills orphans by itself; their new parent may take its time to collect them."""
    status = Path(f"/proc/{process}/stat")
    deadline = time.monotonic() + 60
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_server_is_replaced_when_it_dies_between_calls(sandbox: Sandbox) -> None:
    sandbox.run({})
    server = sandbox._server
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    assert sandbox.run({"again": 1})[0]["request"] == {"again": 1}
    assert sandbox._server is not server


def test_a_server_that_dies_during_a_call_takes_its_children_along(sandbox: Sandbox) -> None:
    session = sandbox.session({})
    assert sandbox._server is not None
    os.kill(sandbox._server.pid, signal.SIGKILL)
    with pytest.raises(SandboxCrash):
        session.call({"sleep_s": 60}, timeout_s=20)
    wait_until_gone(session.first[0]["pid"])
    assert sandbox.run({})[0]["calls"] == 1


def test_a_server_outlives_the_thread_that_started_it() -> None:
    with ThreadPoolExecutor(1) as pool:
        sandbox = pool.submit(lambda: Sandbox("sandbox_entries:echo", path=[ENTRIES]).__enter__()).result()
    with sandbox:
        server = sandbox._server
        sandbox.run({})
        assert server is not None
        assert sandbox._server is server


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_nothing_outlives_the_caller(end: str) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from evolve.sandbox import Sandbox
sandbox = Sandbox("sandbox_entries:echo", path=[{ENTRIES!r}])
print(sandbox.session({{}}).first[0]["pid"], sandbox._server.pid, flush=True)
{end}
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    pids = [int(word) for word in output.split()]
    assert len(pids) == 2
    for pid in pids:
        wait_until_gone(pid)


def test_an_entry_that_cannot_be_loaded_is_a_sandbox_error() -> None:
    sandbox = Sandbox("sandbox_entries:absent", path=[ENTRIES])
    with sandbox, pytest.raises(SandboxError, match="sandbox server could not start: AttributeError"):
        sandbox.run({})
    sandbox = Sandbox("sandbox_entries:echo", ("no_such_module",), path=[ENTRIES])
    with sandbox, pytest.raises(SandboxError, match="No module named 'no_such_module'"):
        sandbox.run({})


@pytest.mark.parametrize("value", [1, None, [1], {"a": {1}}])
def test_an_entry_that_returns_nonsense_is_reported(value: object) -> None:
    with Sandbox("sandbox_entries:wrong", path=[ENTRIES]) as sandbox:
        if isinstance(value, dict):
            with pytest.raises(TypeError):
                sandbox.run({"value": value})
        else:
            with pytest.raises(CandidateError, match="the entry returned"):
                sandbox.run({"value": value})


def test_a_closed_sandbox_says_so_and_leaves_nothing_behind() -> None:
    sandbox = Sandbox("sandbox_entries:echo", path=[ENTRIES])
    session = sandbox.session({})
    assert sandbox._server is not None
    pids = [sandbox._server.pid, session.first[0]["pid"]]
    sandbox.close()
    assert not Path(f"/proc/{pids[0]}").exists()
    with pytest.raises(SandboxCrash):
        session.call({})
    with pytest.raises(SandboxError, match="the sandbox is closed"):
        sandbox.run({})
    sandbox.close()


def test_no_descriptor_is_left_open(sandbox: Sandbox) -> None:
    sandbox.run({})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        sandbox.run({})
        sandbox.session({}).close()
        with pytest.raises(SandboxCrash):
            sandbox.run({"crash": 1})
    assert len(list(Path("/proc/self/fd").iterdir())) == before
