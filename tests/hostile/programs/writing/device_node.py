# Makes a device of its own.
# expect: failed runtime_error PermissionError
import os
import stat


def approximate(x):
    os.mknod("@FOLDER@/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return x
