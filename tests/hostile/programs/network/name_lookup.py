# Sends data away inside a question for a name.
# expect: failed runtime_error gaierror|PermissionError
import socket


def approximate(x):
    socket.gethostbyname("secret.hostile.invalid")
    return x
