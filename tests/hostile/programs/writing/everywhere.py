# Tries every folder that is writable on most machines.
# expect: scored 0.5
import os


def approximate(x):
    places = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/", ".", "/root", "/home", "@FOLDER@", "/proc/self")
    for place in places:
        try:
            os.open(f"{place}/evolve-hostile-everywhere", os.O_CREAT | os.O_WRONLY)
        except OSError:
            continue
        raise AssertionError(f"wrote to {place}")
    return x * 0
