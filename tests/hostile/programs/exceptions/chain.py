# Raises an exception at the end of a chain of ten thousand others.
# expect: failed runtime_error ValueError
def approximate(x):
    last = None
    for number in range(10_000):
        error = ValueError(f"link {number}")
        error.__cause__ = last
        last = error
    raise last
