# Announces a reply of 16 exabytes.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    os.write(4, b"\xff" * 16)
    os._exit(0)
