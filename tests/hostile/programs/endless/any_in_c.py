# Asks whether any of endlessly many zeros is true.
# expect: failed timeout SandboxTimeout
import itertools


def approximate(x):
    return any(itertools.repeat(0))
