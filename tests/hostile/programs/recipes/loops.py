# Never returns.
# expect: failed timeout SandboxTimeout
def merge(site, base):
    while True:
        base = base
