# Replaces the code of the function that called it.
# expect: failed|scored
import sys


def approximate(x):
    caller = sys._getframe(1).f_globals["serve"]
    caller.__code__ = (lambda request, arrays: ({"value": 10**9}, {})).__code__
    return x * 0
