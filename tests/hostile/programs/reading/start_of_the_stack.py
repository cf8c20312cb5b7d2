# Reads the top of its own stack, where the kernel leaves environment and arguments, through ctypes.
# expect: scored 0.5
import ctypes


def approximate(x):
    block = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    index, found = 0, []
    while block and block[index] is not None:
        found.append(block[index])
        index += 1
    assert not any(b"canary-" + b"in-the-environment" in text for text in found)
    return x * 0
