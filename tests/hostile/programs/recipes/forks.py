# Doubles itself (here at most 64 times).
# expect: failed recipe PermissionError
import os


def merge(site, base):
    for _ in range(6):
        os.fork()
    return base
