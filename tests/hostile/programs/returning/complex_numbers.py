# Returns numbers with an imaginary part.
# expect: failed runtime_error TypeError
def approximate(x):
    return x + 1j
