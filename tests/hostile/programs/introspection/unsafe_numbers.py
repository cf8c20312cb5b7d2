# Changes the number 0 for everyone in its process.
# expect: failed|scored
import ctypes


def approximate(x):
    ctypes.memset(id(0) + 24, 1, 4)
    return x * 0
