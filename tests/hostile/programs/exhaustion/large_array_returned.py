# Returns a larger array than a reply may hold.
# expect: failed crash SandboxCrash
import numpy as np


def approximate(x):
    return np.zeros(2**24)
