# Opens a connection to a listener on this machine.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.create_connection(("127.0.0.1", int("@PORT@")), 1).sendall(b"hello")
    return x
