"""The sandbox entry for ordinary programs: loads a source once per process and calls its functions.

Request: ``source`` (with the first request of a process) and, to call, ``function``, ``args`` and ``kwargs`` as encoded
by ``evolve.sandbox.data``. Reply: ``{"value": encoded}``, or ``{"functions": [names]}`` when no function is named.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from evolve.errors import CandidateError
from evolve.sandbox.child import PROGRAM_FILENAME
from evolve.sandbox.data import decode, encode

ENTRY = "evolve.sandbox.program:serve"
MODULE_NAME = "program"

PRELOAD = (
    "numpy", "numpy.fft", "numpy.linalg", "numpy.polynomial", "numpy.random", "safetensors.numpy",
    "scipy.cluster.hierarchy", "scipy.cluster.vq", "scipy.fft", "scipy.integrate", "scipy.interpolate",
    "scipy.linalg", "scipy.ndimage", "scipy.optimize", "scipy.signal", "scipy.sparse.csgraph", "scipy.sparse.linalg",
    "scipy.spatial.distance", "scipy.spatial.transform", "scipy.special", "scipy.stats.qmc", "abc", "argparse",
    "array", "ast", "base64", "bisect", "calendar", "cmath", "collections.abc", "concurrent.futures.thread",
    "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools",
    "graphlib", "hashlib", "heapq", "inspect", "io", "itertools", "json", "keyword", "linecache", "logging", "math",
    "numbers", "operator", "pathlib", "pprint", "queue", "random", "re", "secrets", "shutil", "statistics", "string",
    "struct", "tempfile", "textwrap", "threading", "time", "timeit", "tokenize", "traceback", "types", "typing",
    "unicodedata", "uuid", "warnings", "weakref", "zlib", "encodings.ascii", "encodings.latin_1", "encodings.idna",
    "evolve.recipe",
)  # fmt: skip
"""Modules that programs find in memory. Where the interpreter lies in a private folder, these are all they can
import."""

_program: types.ModuleType | None = None


def serve(request: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sandbox entry; see the module. Raises what the program raises, or CandidateError for what it may not return."""
    global _program
    if "source" in request:
        _program = load(request["source"])
    if _program is None:
        raise CandidateError("no program was loaded; send its source first")
    name = request.get("function")
    if name is None:
        return {"functions": sorted(key for key, value in vars(_program).items() if callable(value))}, {}
    function = vars(_program).get(name)
    if not callable(function):
        raise CandidateError(f"the program defines no function {name!r}; define it at the top level")
    value = function(*decode(request.get("args", []), arrays), **decode(request.get("kwargs", {}), arrays))
    try:
        data, lifted = encode(value, f"{name}()")
    except TypeError as error:
        raise CandidateError(str(error), kind="TypeError") from None
    return {"value": data}, lifted


def load(source: str) -> types.ModuleType:
    """Runs the source as a module, which dataclasses and type hints need to find in ``sys.modules``."""
    module = types.ModuleType(MODULE_NAME)
    sys.modules[MODULE_NAME] = module
    exec(compile(source, PROGRAM_FILENAME, "exec", dont_inherit=True), vars(module))
    return module
