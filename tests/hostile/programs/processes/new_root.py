# Makes a folder its root.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.chroot("/tmp")
    return x
