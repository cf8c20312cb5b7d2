# Wants to see the weights by their place in memory.
# expect: failed
import ctypes


def merge(site, base):
    return base * ctypes.c_float.from_address(base.data_ptr()).value
