# Removes a file from a folder that everyone may write.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.remove("@FOLDER@/public")
    return x
