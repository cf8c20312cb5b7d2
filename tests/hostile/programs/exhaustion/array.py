# Has numpy ask for them.
# expect: failed memory MemoryError
import numpy as np


def approximate(x):
    return np.ones(10 * 2**27)[: len(x)]
