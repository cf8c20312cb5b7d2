# Reaches for the group of its parent.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.killpg(os.getpgid(os.getppid()), 0)
    return x
