# Reads the pipe of its own requests, in the hope of more.
# expect: failed timeout SandboxTimeout
import os


def approximate(x):
    while True:
        os.read(3, 1)
