# Raises a group of groups of exceptions.
# expect: failed runtime_error|memory ExceptionGroup|RecursionError
def approximate(x):
    error = ValueError("inner")
    for number in range(500):
        error = ExceptionGroup(f"group {number}", [error])
    raise error
