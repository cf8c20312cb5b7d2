"""The fork server: one process that has loaded the heavy modules and forks a jailed child for each order.

It sees neither requests nor replies: an order brings the child's ends of two pipes and of a *leash*, a socket on which
the server reports the child's end, and whose closing by the client kills the child. So nothing of one candidate is in
the memory of the next. Started by ``launcher.py``; ends when the client's process does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolve.sandbox import child as jailed
from evolve.sandbox import kernel, probe
from evolve.sandbox.jail import Jail, confinement_of

PARENT_CHECK_S = 1.0
_ORDER_BYTES = 2**16


@dataclass
class Server:
    """Children by process id, each with the server's end of its leash."""

    control: socket.socket
    parent: int
    entry: jailed.Entry
    jail: Jail
    leashes: dict[int, socket.socket] = field(default_factory=dict)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> None:
        """Works until the client closes the control socket or its process is gone."""
        wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_read, False)
        os.set_blocking(wakeup_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        self.selector.register(self.control, selectors.EVENT_READ, self.take_order)
        self.selector.register(wakeup_read, selectors.EVENT_READ, lambda: self.reap(wakeup_read))
        while os.getppid() == self.parent:
            for key, _ in self.selector.select(PARENT_CHECK_S):
                handle: Callable[[], bool | None] = key.data
                if handle() is False:
                    return

    def take_order(self) -> bool:
        """Forks one child; False when there will be no more orders."""
        text, fds, _, _ = socket.recv_fds(self.control, _ORDER_BYTES, 3)
        if not text:
            return False
        order = json.loads(text)
        request, reply, leash = fds
        entry = probe.serve if order["probe"] else self.entry
        confinement = confinement_of(order["confinement"])
        task_limit = self.jail.task_limit(confinement.threads)
        try:
            process = os.fork()
        except OSError as error:
            with socket.socket(fileno=leash) as end, contextlib.suppress(OSError):
                end.send(json.dumps({"failed": f"fork: {error}"}).encode())
            os.close(request)
            os.close(reply)
            return True
        if process == 0:
            ends = jailed.Descriptors(request, reply, leash)
            jailed.run(entry, ends, self.jail, confinement, task_limit)
        os.close(request)
        os.close(reply)
        self.leashes[process] = socket.socket(fileno=leash)
        with contextlib.suppress(OSError):
            self.leashes[process].send(json.dumps({"pid": process}).encode())
        self.selector.register(self.leashes[process], selectors.EVENT_READ, lambda: self.kill(process))
        return True

    def kill(self, process: int) -> None:
        """The client let go of the leash."""
        self.selector.unregister(self.leashes[process])
        for send in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                send(process, signal.SIGKILL)

    def reap(self, wakeup: int) -> None:
        """Collects children that ended and tells their clients how."""
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup, 4096)
        while True:
            try:
                process, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            if not self.jail.filter:
                kill_orphans(set(self.leashes) - {process})
            leash = self.leashes.pop(process, None)
            if leash is None:
                continue
            with contextlib.suppress(KeyError):
                self.selector.unregister(leash)
            report = {"status": status, "cpu_s": usage.ru_utime + usage.ru_stime}
            with leash, contextlib.suppress(OSError):
                leash.send(json.dumps(report).encode())

    def close(self) -> None:
        """Kills what is left."""
        for process in self.leashes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not self.jail.filter:
            kill_orphans(set())


def kill_orphans(children: set[int]) -> None:
    """Kills processes that children left behind; they became this server's own. Only possible without seccomp."""
    while True:
        found = [process for process in _own_children() if process not in children]
        for process in found:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
        if not found:
            return


def _own_children() -> list[int]:
    own = []
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                # state, parent: what is dead already only waits to be collected
                if int(fields[1]) == os.getpid() and fields[0] != "Z":
                    own.append(int(entry.name))
    return own


def load(name: str) -> jailed.Entry:
    """The entry function named ``module:function``."""
    module, _, function = name.partition(":")
    entry: jailed.Entry = getattr(importlib.import_module(module), function)
    return entry


def prepare(settings: dict[str, Any]) -> tuple[jailed.Entry, Jail]:
    """Imports what children shall find in memory and makes the jail."""
    for name in settings["preload"]:
        importlib.import_module(name)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    entry = load(settings["entry"])
    # numpy's seeding is loaded on first use, and a jailed child may be unable to read it
    if "numpy" in sys.modules:
        importlib.import_module("numpy.random")
        importlib.import_module("safetensors.numpy")
    jail = Jail([Path(folder) for folder in settings["path"]], settings["without"])
    # nothing below is garbage, and collecting in a child would copy the pages it looks at
    gc.collect()
    gc.disable()
    gc.freeze()
    return entry, jail


def main() -> None:
    """``argv``: descriptor of the control socket, process id of the client, settings as JSON."""
    control = socket.socket(fileno=int(sys.argv[1]))
    parent, settings = int(sys.argv[2]), json.loads(sys.argv[3])
    sys.path.extend(settings["path"])
    os.chdir("/")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    try:
        entry, jail = prepare(settings)
    # a process boundary: the client turns this into a SandboxError
    except BaseException as error:
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"[:2000]}).encode())
        raise
    ready = {"landlock": jail.landlock_abi, "seccomp": bool(jail.filter), "user": os.getuid()}
    control.send(json.dumps({"ready": ready}).encode())
    server = Server(control, parent, entry, jail)
    try:
        server.serve()
    finally:
        server.close()
        # modules may have threads or exit handlers of their own that never end
        ctypes.CDLL(None)._exit(0)
