# Unpacks a text that grows a thousandfold.
# expect: failed memory MemoryError
import zlib


def approximate(x):
    packed = zlib.compress(bytes(2**26))
    return [float(sum(len(zlib.decompress(packed) * 64) for _ in range(2)))] * len(x)
