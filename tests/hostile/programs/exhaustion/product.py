# Builds a list from a product that has no end in practice.
# expect: failed memory|timeout
import itertools


def approximate(x):
    return list(itertools.product(range(10), repeat=9))[: len(x)]
