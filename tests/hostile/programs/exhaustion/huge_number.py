# Computes a number of a hundred billion bits.
# expect: failed memory MemoryError
def approximate(x):
    return [float((1 << 10**11).bit_length())] * len(x)
