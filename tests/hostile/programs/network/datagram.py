# Sends a datagram, which needs no connection.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", int("@PORT@")))
    return x
