"""Calling the functions of an ordinary program that runs in the sandbox."""

from __future__ import annotations

from typing import Any, Self

from evolve.errors import EvaluatorError, SandboxCrash
from evolve.sandbox import data
from evolve.sandbox.client import Sandbox
from evolve.sandbox.limits import SandboxLimits
from evolve.sandbox.program import ENTRY, PRELOAD


def program_sandbox(limits: SandboxLimits | None = None) -> Sandbox:
    """A sandbox whose processes load programs and have numpy, scipy and much of the standard library in memory."""
    return Sandbox(ENTRY, PRELOAD, limits)


class Program:
    """A program loaded into one jailed process, which keeps its module state between calls until ``close``."""

    def __init__(self, sandbox: Sandbox, source: str, timeout_s: float | None = None) -> None:
        """Runs the top level of ``source``. Raises as ``Sandbox.run``."""
        self._session = sandbox.session({"source": source}, timeout_s=timeout_s)
        self.functions: list[str] = list(self._session.first[0].get("functions", []))

    def call(self, name: str, *args: Any, timeout_s: float | None = None, **kwargs: Any) -> Any:
        """What the program's function returns, as plain data and numpy arrays; it may be anything an enemy makes up.

        Raises as ``Session.call``, and EvaluatorError when an argument is not plain data.
        """
        try:
            plain, arrays = data.encode({"args": list(args), "kwargs": kwargs}, "the call's arguments")
        except TypeError as error:
            raise EvaluatorError(f"cannot call {name}(): {error}") from None
        reply, values = self._session.call({"function": name, **plain}, arrays, timeout_s)
        try:
            return data.decode(reply["value"], values)
        except (KeyError, ValueError):
            raise SandboxCrash(f"malformed reply of {name}()") from None

    @property
    def alive(self) -> bool:
        return self._session.alive

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
