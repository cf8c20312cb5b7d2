# Reads memory that is not there.
# expect: failed crash SandboxCrash
import ctypes


def approximate(x):
    return ctypes.string_at(8)
