# Opens pipes until there are none (here at most 4000).
# expect: failed runtime_error OSError
import os


def approximate(x):
    for _ in range(4000):
        os.pipe()
    return x
