# Opens its pipes anew by the kernel's links to them, to write where it may only read.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    return [float(os.open("/proc/self/fd/3", os.O_WRONLY))] * len(x)
