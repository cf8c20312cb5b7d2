# Ends its process without a word.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    os._exit(0)
