# Raises a message that cannot be written down.
# expect: failed runtime_error ValueError
def approximate(x):
    raise ValueError("\ud800\udfff half \udc80 a character")
