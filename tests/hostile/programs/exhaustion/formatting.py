# Asks for a number with ten billion digits.
# expect: failed memory|runtime_error
def approximate(x):
    return [float(len(f"{1:010000000000d}"))] * len(x)
