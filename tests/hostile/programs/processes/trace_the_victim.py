# Attaches to another process as a debugger does.
# expect: failed runtime_error PermissionError
import ctypes
import os


def approximate(x):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(0x4206, int("@PID@"), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return x
