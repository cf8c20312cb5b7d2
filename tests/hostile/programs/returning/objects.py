# Returns an array of objects that compare as they like.
# expect: failed runtime_error TypeError
import numpy as np


class Liar:
    def __eq__(self, other):
        return True

    def __sub__(self, other):
        return 0.0


def approximate(x):
    return np.array([Liar()] * len(x), dtype=object)
