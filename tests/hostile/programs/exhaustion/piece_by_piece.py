# Takes memory in small pieces, and touches them (here at most two gigabytes).
# expect: failed memory MemoryError
def approximate(x):
    kept = [bytearray(b"x") * 2**20 for _ in range(2048)]
    return [float(len(kept))] * len(x)
