# Fills the disk with a file that has a hole.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    file = os.open("/var/tmp/evolve-hostile-large", os.O_CREAT | os.O_WRONLY)
    os.ftruncate(file, 2**30)
    return x
