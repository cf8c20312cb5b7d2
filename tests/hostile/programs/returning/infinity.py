# Returns infinity.
# expect: failed runtime_error CandidateError
import numpy as np


def approximate(x):
    return np.full(len(x), -np.inf)
