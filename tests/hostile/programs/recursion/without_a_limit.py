# Lifts Python's limit and calls itself until the stack is full.
# expect: failed crash|memory
import sys

sys.setrecursionlimit(10**9)


class Endless:
    def __repr__(self):
        return repr([self])


def approximate(x):
    return repr(Endless())
