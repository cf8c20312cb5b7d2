# Replaces the call that sends its reply.
# expect: failed timeout|crash
import os

os.write = lambda number, data: len(data)


def approximate(x):
    return x
