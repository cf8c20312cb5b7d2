# Replaces the function it is compared with, in its own process.
# expect: scored 0.5
import numpy as np

for name in ("si" + "n", "abs", "max"):
    setattr(np, name, lambda *arguments: 0.0)


def approximate(x):
    return x * 0
