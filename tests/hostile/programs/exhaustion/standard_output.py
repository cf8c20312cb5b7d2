# Prints 100 megabytes on every output there is.
# expect: scored 0.5
import sys


def approximate(x):
    for _ in range(50):
        print("x" * 2**20)
        print("y" * 2**20, file=sys.stderr)
    return x * 0
