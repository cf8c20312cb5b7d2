# Repeats a text until it is larger than the machine.
# expect: failed memory MemoryError
def approximate(x):
    return [float(len("x" * 10**11))] * len(x)
