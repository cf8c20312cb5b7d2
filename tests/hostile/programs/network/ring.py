# Has the kernel do its input and output by a ring, past the list of calls.
# expect: scored 0.5
import ctypes


def approximate(x):
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(120)
    # io_uring_setup has the same number on every machine
    assert libc.syscall(ctypes.c_long(425), ctypes.c_long(8), parameters) == -1
    assert ctypes.get_errno() in (1, 38)
    return x * 0
