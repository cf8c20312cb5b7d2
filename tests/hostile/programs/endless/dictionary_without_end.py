# Returns a dictionary that never stops naming keys.
# expect: failed timeout|memory
from collections.abc import Mapping


class Endless(Mapping):
    def __getitem__(self, key):
        return 0

    def __len__(self):
        return 1

    def __iter__(self):
        while True:
            yield "key"

    def items(self):
        while True:
            yield "key", 0


def approximate(x):
    return Endless()
