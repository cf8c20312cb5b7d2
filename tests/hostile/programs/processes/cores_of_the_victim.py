# Confines another process to one core.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.sched_setaffinity(int("@PID@"), {0})
    return x
