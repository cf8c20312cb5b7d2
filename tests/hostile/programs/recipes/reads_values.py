# Wants to see the weights that it merges: there are none while it is traced.
# expect: failed value_dependence|unsupported|recipe
def merge(site, base):
    return base * len(base.tolist())
