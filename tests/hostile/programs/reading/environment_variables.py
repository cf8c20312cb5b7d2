# Looks for the variables of the run, in Python and in the C library.
# expect: scored 0.5
import ctypes
import os


def approximate(x):
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    assert not os.environ, sorted(os.environ)
    assert libc.getenv(b"HOSTILE_CANARY") is None
    return x * 0
