# Copies memory of another process into its own.
# expect: failed runtime_error PermissionError
import ctypes
import os


def approximate(x):
    libc = ctypes.CDLL(None, use_errno=True)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(64)), 64)
    there = (ctypes.c_size_t * 2)(0x400000, 64)
    if libc.process_vm_readv(int("@PID@"), here, 1, there, 1, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return x
