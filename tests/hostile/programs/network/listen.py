# Waits for connections itself.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.create_server(("127.0.0.1", 0))
    return x
