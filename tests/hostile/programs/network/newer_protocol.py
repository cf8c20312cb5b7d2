# Uses version 6 of the protocol, which filters sometimes forget.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM).connect(("::ffff:127.0.0.1", int("@PORT@")))
    return x
