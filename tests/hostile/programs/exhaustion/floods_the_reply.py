# Writes zeros into the pipe of the reply without end.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    while True:
        os.write(4, b"0" * 2**20)
