# Makes a folder in one that everyone may write.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.mkdir("@FOLDER@/made")
    return x
