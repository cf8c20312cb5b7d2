# Throws away a chain of a million objects at once.
# expect: scored 0.5
def approximate(x):
    chain = None
    for _ in range(1_000_000):
        chain = (chain,)
    del chain
    return x * 0
