# Returns a list that never stops giving entries.
# expect: failed timeout|memory
class Endless(list):
    def __iter__(self):
        while True:
            yield 0


def approximate(x):
    return Endless()
