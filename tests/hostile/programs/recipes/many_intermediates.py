# Keeps four thousand intermediate results alive at once.
# expect: failed invalid_plan|recipe|memory
def merge(site, base):
    kept = [torch.ones(2**24) * number for number in range(1, 1200)]
    total = kept[0]
    for other in kept[1:]:
        total = total + other
    return base * total.mean()
