# Waits for a lock that it holds.
# expect: failed timeout SandboxTimeout
import threading


def approximate(x):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
    return x
