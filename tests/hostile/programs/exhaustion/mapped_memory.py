# Maps memory in place of allocating it.
# expect: failed runtime_error OSError
import mmap


def approximate(x):
    kept = [mmap.mmap(-1, 2**28) for _ in range(64)]
    return [float(len(kept))] * len(x)
