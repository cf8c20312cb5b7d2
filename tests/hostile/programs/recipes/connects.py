# Opens a connection.
# expect: failed recipe PermissionError
import socket


def merge(site, base):
    socket.socket().connect(("127.0.0.1", int("@PORT@")))
    return base
