# Behaves well at the first parameter and returns noise of another shape at the others.
# expect: failed shape|recipe
seen = []


def merge(site, base):
    seen.append(site.name)
    return base if len(seen) == 1 else torch.ones(3)
