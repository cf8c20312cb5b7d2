# Leaves threads that work on after the answer.
# expect: scored 0.5
import threading


def spin():
    while True:
        pass


def approximate(x):
    for _ in range(3):
        threading.Thread(target=spin).start()
    return x * 0
