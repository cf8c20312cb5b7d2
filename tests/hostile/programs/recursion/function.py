# Calls itself without end.
# expect: failed memory RecursionError
def approximate(x):
    return approximate(x)
