# Makes itself more important than everything else.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.nice(-20)
    return x
