# Reads the disk below the file system.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    for name in ("/dev/vda", "/dev/sda", "/dev/nvme0n1"):
        try:
            os.open(name, os.O_RDONLY)
        except FileNotFoundError:
            continue
    os.open("/dev/tty", os.O_RDONLY)
    return x
