# Hides data in the attributes of a file.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.setxattr("@FOLDER@/public", "user.hidden", b"x" * 1000)
    return x
