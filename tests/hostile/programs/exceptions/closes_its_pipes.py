# Closes everything that it could answer by.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    os.closerange(0, 100)
    return x
