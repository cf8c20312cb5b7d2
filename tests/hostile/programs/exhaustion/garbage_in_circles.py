# Makes garbage that only the collector could free, and switches it off (at most two gigabytes).
# expect: failed memory MemoryError
import gc


def approximate(x):
    gc.disable()
    for _ in range(2**11):
        ring = [bytearray(b"x") * 2**20]
        ring.append(ring)
    return x
