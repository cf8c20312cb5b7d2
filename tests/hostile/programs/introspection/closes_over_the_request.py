# Changes the variables of the function that called it.
# expect: scored 0.5
import ctypes
import sys


def approximate(x):
    frame = sys._getframe(1)
    for name in ("name", "request", "arrays"):
        frame.f_locals[name] = "score"
    ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
    return x * 0
