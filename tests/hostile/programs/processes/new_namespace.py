# Makes a namespace in which it would be root.
# expect: failed runtime_error PermissionError
import ctypes
import os


def approximate(x):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return x
