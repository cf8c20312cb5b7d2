# Moves a file away.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.rename("@FOLDER@/public", "@FOLDER@/moved")
    return x
