# Behaves well the first time: it changes a library that its process shares with its siblings, as it hopes.
# expect: scored 0.5
# again: scored 0.5
import numpy as np

assert not hasattr(np, "remembered"), "a later evaluation finds the mark of an earlier one"
np.remembered = True
np.pi = 3


def approximate(x):
    return x * 0
