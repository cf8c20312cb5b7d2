# Matches an expression whose time doubles with every letter, in C.
# expect: failed timeout SandboxTimeout
import re


def approximate(x):
    re.match("(a+)+$", "a" * 60 + "b")
    return x
