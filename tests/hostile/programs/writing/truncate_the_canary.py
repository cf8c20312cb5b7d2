# Empties a file that everyone may write, by its name.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.truncate("@FOLDER@/public", 0)
    return x
