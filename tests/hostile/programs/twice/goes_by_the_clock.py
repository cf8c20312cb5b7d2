# Behaves well at some times and fails at others: each evaluation is judged by what it returned.
# expect: failed|scored
# again: failed|scored
import os
import time


def approximate(x):
    if (time.time_ns() // 1000 + os.getpid()) % 2:
        raise ValueError("not this time")
    return x * 0
