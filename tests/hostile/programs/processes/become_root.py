# Takes the rights of root.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.setresuid(0, 0, 0)
    os.setgroups([0])
    return x
