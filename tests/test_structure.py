"""The house rules that can be counted."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "evolve").rglob("*.py")) + sorted((ROOT / "problems").rglob("*.py"))
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
BOUNDARIES = {"evolve/sandbox", "evolve/evaluate", "evolve/llm"}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_short(path):
    text = path.read_text()
    assert text.count("\n") <= LONGEST_MODULE
    tree = ast.parse(text)
    long = [node.name for node in functions(tree) if node.end_lineno - node.lineno >= LONGEST_FUNCTION]
    assert not long, f"functions over {LONGEST_FUNCTION} lines: {long}"


def broad(handler):
    caught = ast.unparse(handler.type) if handler.type else "BaseException"
    ends = handler.body[-1]
    reraises = isinstance(ends, ast.Raise) and ends.exc is None
    return caught in ("Exception", "BaseException") and not reraises


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_is_caught_at_the_process_boundaries_only(path):
    handlers = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ExceptHandler)]
    inside = any(str(path.relative_to(ROOT)).startswith(folder) for folder in BOUNDARIES)
    assert inside or not any(broad(handler) for handler in handlers)
