# Computes a power that takes days, in C.
# expect: failed timeout SandboxTimeout
def approximate(x):
    return [float(pow(7, 10**9) % 10)] * len(x)
