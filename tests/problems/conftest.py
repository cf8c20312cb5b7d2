"""Loads the modules of problem folders by path, as the engine does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PROBLEMS = Path(__file__).resolve().parents[2] / "problems"


def load(path: Path):
    spec = importlib.util.spec_from_file_location(f"problem_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def jp_math_folder():
    return PROBLEMS / "jp_math"


@pytest.fixture(scope="session")
def evaluator(jp_math_folder):
    return load(jp_math_folder / "evaluate.py")


@pytest.fixture(scope="session")
def zoo(jp_math_folder):
    module = load(jp_math_folder / "zoo.py")
    yield module
    sys.path.remove(str(jp_math_folder))
