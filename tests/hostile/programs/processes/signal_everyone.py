# Reaches for every process at once (with the signal that only asks whether it could).
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.kill(-1, 0)
    return x
