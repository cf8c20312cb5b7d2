"""What a recipe may call, read from the source of evolve.methods and the registry of plan operations."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Method:
    """A function of ``evolve.methods``: its call and the first sentence of its docstring."""

    name: str
    signature: str
    summary: str


@lru_cache(maxsize=1)
def methods() -> tuple[Method, ...]:
    """The public merge methods, by parsing their files: importing them would load torch."""
    spec = importlib.util.find_spec("evolve.methods")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*.py"))
    public = {name for path in files if path.name == "__init__.py" for name in _exported(path)}
    found = {}
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in public:
                summary = (ast.get_docstring(node) or "").split("\n\n")[0]
                found[node.name] = Method(node.name, f"{node.name}({_plain(node.args)})", " ".join(summary.split()))
    return tuple(found[name] for name in sorted(found))


def _exported(path: Path) -> list[str]:
    """The names of ``__all__``."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _plain(arguments: ast.arguments) -> str:
    """Arguments without their annotations."""
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return ast.unparse(arguments)


@lru_cache(maxsize=1)
def operations() -> tuple[str, ...]:
    """Names of the tensor operations that a recipe may use."""
    from evolve.plan.operations import OPERATIONS

    return tuple(sorted(OPERATIONS))
