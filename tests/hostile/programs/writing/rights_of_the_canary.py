# Gives a file other rights.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.chmod("@FOLDER@/public", 0o777)
    return x
