# Waits for a year.
# expect: failed timeout SandboxTimeout
import time


def approximate(x):
    time.sleep(365 * 86400)
    return x
