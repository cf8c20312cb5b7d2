# Doubles itself with a terminal.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    if os.forkpty()[0] == 0:
        os._exit(0)
    return x
