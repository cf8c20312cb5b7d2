# Never returns.
# expect: failed timeout SandboxTimeout
def approximate(x):
    while True:
        pass
