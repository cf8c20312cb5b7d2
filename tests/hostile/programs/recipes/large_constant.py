# Writes weights of its own into the plan as numbers.
# expect: failed invalid_plan|recipe
def merge(site, base):
    return base + (base.flatten()[:1] + torch.tensor([0.5] * 100_000)).sum()
