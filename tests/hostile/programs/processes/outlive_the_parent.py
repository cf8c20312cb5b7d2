# Cancels its own end at the end of its parent.
# expect: failed runtime_error PermissionError
import ctypes
import os


def approximate(x):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(1, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return x
