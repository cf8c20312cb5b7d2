# Multiplies by a number that is none.
# expect: failed
def merge(site, base):
    return base * float("inf") - base * float("inf")
