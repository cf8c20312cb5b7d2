# Takes memory in objects of a few bytes, at most two gigabytes.
# expect: failed memory MemoryError
def approximate(x):
    kept = []
    for number in range(2**24):
        kept.append([number])
    return x
