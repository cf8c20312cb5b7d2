# Sets an alarm that ends it without a word.
# expect: failed crash SandboxCrash
import signal
import time


def approximate(x):
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    time.sleep(1)
    return x
