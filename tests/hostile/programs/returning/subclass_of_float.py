# Returns floats that claim another value than they hold: only what they hold arrives.
# expect: scored 0.5
class Sly(float):
    def __float__(self):
        return 0.0

    def __sub__(self, other):
        return 0.0


def approximate(x):
    return [Sly(0.0)] * len(x)
