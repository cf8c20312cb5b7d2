# Asks the kernel for the machine's addresses.
# expect: failed runtime_error PermissionError
import socket


def approximate(x):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).bind((0, 0))
    return x
