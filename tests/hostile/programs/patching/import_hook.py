# Answers every later import itself.
# expect: scored 0.5
import sys


class Finder:
    def find_spec(self, name, path=None, target=None):
        raise AssertionError(f"the sandbox imports {name} while the program runs")


sys.meta_path.insert(0, Finder())


def approximate(x):
    return x * 0
