"""Fixtures that several areas share."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

# Before numpy loads, as the command line does: BLAS threads on shared cores are a hundred times slower than one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell starts what it puts into the background with Ctrl-C ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def load_server() -> ModuleType:
    """tests/llm_server.py as a module; tests are no packages."""
    if "llm_server" not in sys.modules:
        spec = importlib.util.spec_from_file_location("llm_server", Path(__file__).with_name("llm_server.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["llm_server"] = module
        spec.loader.exec_module(module)
    return sys.modules["llm_server"]


@pytest.fixture(scope="session")
def llm_server() -> ModuleType:
    """The scripted OpenAI-compatible server: ``with llm_server.serving(Reply(...), "text") as script``."""
    return load_server()
