# Behaves well the first time: it sets random numbers, which start anew for each evaluation.
# expect: scored
# again: same
import random

import numpy as np


def approximate(x):
    value = np.full(len(x), random.random() * np.random.random())
    random.seed(999)
    np.random.seed(999)
    return value
