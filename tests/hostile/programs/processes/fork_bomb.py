# Doubles itself again and again (here at most 64 times).
# expect: failed runtime_error PermissionError
import os
import time


def approximate(x):
    for _ in range(6):
        os.fork()
    time.sleep(2)
    return x
