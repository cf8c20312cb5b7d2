# Opens the same file again and again (here at most 4000 times).
# expect: failed runtime_error OSError
import os


def approximate(x):
    for _ in range(4000):
        os.open("/dev/null", os.O_RDONLY)
    return x
