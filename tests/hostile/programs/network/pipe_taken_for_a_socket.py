# Treats the pipes it was given as connected sockets.
# expect: failed runtime_error OSError|PermissionError
import socket


def approximate(x):
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=4).connect(("127.0.0.1", int("@PORT@")))
    return x
