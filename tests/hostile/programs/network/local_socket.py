# Talks to a service of this machine by a socket without a path.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.socket(socket.AF_UNIX).connect("\0evolve-hostile")
    return x
