# Opens the memory of its parent as a file.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    return [float(os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY))] * len(x)
