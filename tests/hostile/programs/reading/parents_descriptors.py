# Takes over the open files of its parent, one number after the other.
# expect: scored 0.5
import os


def approximate(x):
    for process in (os.getppid(), 1):
        for number in range(64):
            try:
                os.open(f"/proc/{process}/fd/{number}", os.O_RDONLY)
            except OSError:
                continue
            raise AssertionError(f"descriptor {number} of {process} was opened")
    return x * 0
