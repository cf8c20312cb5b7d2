# Wants to see the weights as an array.
# expect: failed value_dependence|unsupported|recipe
def merge(site, base):
    return base * float(base.numpy().sum())
