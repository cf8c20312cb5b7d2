"""When two texts are the same program."""

from __future__ import annotations

import ast
import hashlib
import warnings

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def normalized(source: str) -> str:
    """The program without comments, docstrings, blank lines and formatting.

    A text that does not parse keeps everything but its white space.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. an invalid escape sequence: the program's business, not ours
            tree = ast.parse(source)
        return ast.unparse(_without_docstrings(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = (" ".join(line.split()) for line in source.splitlines())
        return "\n".join(line for line in lines if line)


def source_digest(source: str) -> str:
    """sha256 (hex) of the normalised program: equal for texts that differ in layout only."""
    return hashlib.sha256(normalized(source).encode("utf-8", "replace")).hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
            if not node.body and not isinstance(node, ast.Module):
                node.body = [ast.Pass()]
    return tree
