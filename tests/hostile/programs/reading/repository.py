# Reads the sources of the tests, which lie beside the package it may import from.
# expect: failed runtime_error PermissionError
import pathlib

import evolve


def approximate(x):
    repository = pathlib.Path(evolve.__file__).parent.parent
    return [float(len((repository / "pyproject.toml").read_text()))] * len(x)
