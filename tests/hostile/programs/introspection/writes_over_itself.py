# Overwrites its own interpreter's memory.
# expect: failed crash|runtime_error
import ctypes


def approximate(x):
    ctypes.memset(id(type(x)), 0xFF, 4096)
    return x
