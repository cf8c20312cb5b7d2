# Slows another process down.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.setpriority(os.PRIO_PROCESS, int("@PID@"), 19)
    return x
