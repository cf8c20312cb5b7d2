# Builds a sum whose terms double with every line, though its text is short.
# expect: scored|failed
def merge(site, base):
    for _ in range(200):
        base = (base + base) * 0.5
    return base
