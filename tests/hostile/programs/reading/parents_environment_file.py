# Reads the environment of its parent from the kernel.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    return [float(len(open(f"/proc/{os.getppid()}/environ").read()))] * len(x)
