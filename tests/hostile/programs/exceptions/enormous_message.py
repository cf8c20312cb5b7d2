# Raises an exception with a message of a hundred million letters.
# expect: failed runtime_error ValueError
def approximate(x):
    raise ValueError("A" * 10**8)
