# Loops inside one call of the interpreter, where no exception can be raised between two steps.
# expect: failed timeout SandboxTimeout
import itertools


def approximate(x):
    return [float(sum(itertools.repeat(1)))] * len(x)
