# Doubles itself.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    if os.fork() == 0:
        os._exit(0)
    return x
