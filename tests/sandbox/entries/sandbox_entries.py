"""Sandbox entries for the tests; imported by the fork server through ``path``."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from evolve.errors import ShapeMismatch

calls = 0


def echo(request: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    global calls
    calls += 1
    time.sleep(request.get("sleep_s", 0.0))
    if request.get("crash"):
        os._exit(9)
    if request.get("mismatch"):
        error = ShapeMismatch("(2, 3) and (4,) do not fit", line=7)
        raise error
    doubled = {name: np.asarray(2 * array) for name, array in arrays.items()}
    return {"request": request, "calls": calls, "pid": os.getpid()}, doubled


def wrong(request: dict[str, Any], arrays: dict[str, Any]) -> Any:
    return request["value"]
