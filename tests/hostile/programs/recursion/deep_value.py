# Returns lists within lists.
# expect: failed runtime_error TypeError
def approximate(x):
    value = 0.0
    for _ in range(10_000):
        value = [value]
    return value
