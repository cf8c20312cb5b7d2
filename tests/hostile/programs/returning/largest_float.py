# Returns numbers whose differences overflow.
# expect: scored
import numpy as np


def approximate(x):
    return np.where(np.arange(len(x)) % 2, 1, -1) * np.finfo(np.float64).max
