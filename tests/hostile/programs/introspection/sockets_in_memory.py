# Looks for open sockets and files of the sandbox among all objects.
# expect: scored 0.5
import gc
import io
import os
import socket


def approximate(x):
    for item in gc.get_objects():
        if isinstance(item, (socket.socket, io.FileIO)):
            number = item.fileno()
            assert number < 0 or number <= 4 or not _is_open(number), f"{item} is open"
    return x * 0


def _is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
