# Behaves well the first time: it renames its threads and takes locks, of which nothing is left for the next.
# expect: scored 0.5
# again: scored 0.5
import threading

assert threading.current_thread().name != "remembered"
threading.current_thread().name = "remembered"


def approximate(x):
    return x * 0
