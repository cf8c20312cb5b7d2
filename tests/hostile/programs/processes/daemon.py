# Leaves the group of processes that is ended with it.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.setsid()
    return x
