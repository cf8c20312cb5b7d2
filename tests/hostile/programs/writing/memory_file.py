# Makes a file in memory, which could be run as a program.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    return [float(os.memfd_create("program"))] * len(x)
