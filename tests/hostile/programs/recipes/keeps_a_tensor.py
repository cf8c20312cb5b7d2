# Keeps a tensor of one parameter and returns it for the next.
# expect: failed recipe|shape
kept = []


def merge(site, base):
    kept.append(base)
    return kept[0]
