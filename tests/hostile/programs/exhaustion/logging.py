# Writes a million characters into the log of its process.
# expect: scored 0.5
import logging
import warnings


def approximate(x):
    for _ in range(100):
        logging.error("x" * 10**4)
        warnings.warn("y" * 10**4)
    return x * 0
