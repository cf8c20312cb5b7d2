# Makes a link to a file it may not read, in a folder where it might write.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.symlink("/etc/passwd", "/tmp/evolve-hostile-link")
    return x
