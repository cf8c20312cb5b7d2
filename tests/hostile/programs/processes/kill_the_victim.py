# Ends another process of the machine.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.kill(int("@PID@"), 9)
    return x
