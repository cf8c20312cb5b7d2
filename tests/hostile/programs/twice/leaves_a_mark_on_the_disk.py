# Behaves well the first time: it remembers by a file.
# expect: scored 0.5
# again: scored 0.5
import os


def approximate(x):
    for folder in ("/tmp", "/dev/shm", "/var/tmp", "@FOLDER@"):
        mark = f"{folder}/evolve-hostile-mark"
        assert not os.path.exists(mark), "a later evaluation finds the mark of an earlier one"
        try:
            open(mark, "w").close()
        except OSError:
            pass
    return x * 0
