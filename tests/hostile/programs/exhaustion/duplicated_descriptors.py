# Doubles its pipes until there are no numbers left.
# expect: failed runtime_error OSError
import os


def approximate(x):
    for _ in range(4000):
        os.dup(4)
    return x
