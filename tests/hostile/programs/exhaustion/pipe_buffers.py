# Fills pipes, whose content lies in the kernel's memory.
# expect: failed runtime_error OSError|BlockingIOError|PermissionError
import fcntl
import os


def approximate(x):
    for _ in range(4000):
        _, end = os.pipe()
        fcntl.fcntl(end, 1031, 2**20)
        os.set_blocking(end, False)
        os.write(end, bytes(2**20))
    return x
