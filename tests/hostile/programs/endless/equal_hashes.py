# Fills a dictionary with keys whose hashes are equal: the time grows with the square of their number.
# expect: failed timeout SandboxTimeout
class Key:
    def __hash__(self):
        return 1

    def __eq__(self, other):
        return self is other


def approximate(x):
    return [float(len({Key(): None for _ in range(10**6)}))] * len(x)
