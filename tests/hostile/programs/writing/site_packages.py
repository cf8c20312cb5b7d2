# Puts a module where the next process of the machine would import it.
# expect: failed runtime_error PermissionError
import os

import numpy


def approximate(x):
    with open(os.path.join(os.path.dirname(numpy.__file__), "..", "evolve_hostile.py"), "w") as file:
        file.write("raise SystemExit")
    return x
