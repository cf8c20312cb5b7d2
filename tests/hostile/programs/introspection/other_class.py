# Gives its argument another class.
# expect: failed runtime_error TypeError
class Better:
    pass


def approximate(x):
    x.__class__ = Better
    return x
