# Makes a file without a name, to keep data on the disk.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.write(os.open("/tmp", os.O_TMPFILE | os.O_RDWR), b"x" * 2**20)
    return x
