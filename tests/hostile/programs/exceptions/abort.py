# Aborts by the C library.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    os.abort()
