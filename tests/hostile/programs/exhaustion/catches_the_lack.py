# Runs out of memory, catches that, and tries again for as long as it may.
# expect: failed timeout SandboxTimeout
def approximate(x):
    kept = []
    while True:
        try:
            kept.append(bytearray(2**24))
        except MemoryError:
            pass
