# Multiplies matrices for hours.
# expect: failed timeout|unsupported|recipe|memory
import numpy


def merge(site, base):
    a = numpy.ones((1000, 1000))
    for _ in range(10**9):
        a = a @ a
    return base
