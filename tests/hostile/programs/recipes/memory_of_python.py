# Takes memory past the tracer.
# expect: failed memory MemoryError
def merge(site, base):
    return base * len(bytearray(10 * 2**30))
