# Makes two connected sockets, over which open files can be handed on.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.socketpair()
    return x
