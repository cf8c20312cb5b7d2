# Asks the kernel for something that only root may (with numbers that do nothing).
# expect: failed runtime_error PermissionError
import ctypes
import os


def approximate(x):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.reboot(0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return x
