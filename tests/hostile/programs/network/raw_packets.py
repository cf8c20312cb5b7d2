# Reads what others send and receive.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    return x
