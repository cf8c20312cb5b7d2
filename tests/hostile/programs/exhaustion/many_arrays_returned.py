# Returns a hundred thousand arrays of one number.
# expect: failed crash|runtime_error|timeout
import numpy as np


def approximate(x):
    return [np.zeros(1)] * 100_000
