# Multiplies matrices for hours, in native code of another library.
# expect: failed timeout SandboxTimeout
import numpy as np


def approximate(x):
    a = np.ones((1000, 1000))
    for _ in range(10**9):
        a = a @ a
    return x
