# Has the kernel send signals to another process when a pipe moves.
# expect: failed runtime_error PermissionError
import fcntl


def approximate(x):
    fcntl.fcntl(4, fcntl.F_SETOWN, int("@PID@"))
    return x
