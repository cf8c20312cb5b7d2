# Ends the process that started it.
# expect: failed runtime_error PermissionError
import os
import signal


def approximate(x):
    os.kill(os.getppid(), signal.SIGTERM)
    return x
