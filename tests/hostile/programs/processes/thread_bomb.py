# Starts threads without end (here at most 500).
# expect: failed runtime_error RuntimeError
import threading


def approximate(x):
    for _ in range(500):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return x
