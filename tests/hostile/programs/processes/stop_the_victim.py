# Stops another process, which is less conspicuous than ending it.
# expect: failed runtime_error PermissionError
import os
import signal


def approximate(x):
    os.kill(int("@PID@"), signal.SIGSTOP)
    return x
