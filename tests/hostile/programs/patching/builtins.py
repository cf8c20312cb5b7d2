# Replaces built-in functions that everything uses.
# expect: failed runtime_error|crash|memory
import builtins

builtins.isinstance = lambda value, kind: True
builtins.len = lambda value: 0


def approximate(x):
    return x
