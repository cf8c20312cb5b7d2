"""Fixtures that several areas share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


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
