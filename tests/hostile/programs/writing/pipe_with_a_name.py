# Makes a pipe through which another process could be talked to.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.mkfifo("@FOLDER@/pipe")
    return x
