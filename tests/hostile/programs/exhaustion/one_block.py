# Asks for ten gigabytes at once.
# expect: failed memory MemoryError
def approximate(x):
    return [float(len(bytearray(10 * 2**30)))] * len(x)
