# Wants to loop when its process ends: that never runs.
# expect: scored 0.5
import atexit


def loop():
    while True:
        pass


atexit.register(loop)


def approximate(x):
    return x * 0
