# Asks the worker for decompositions that take years.
# expect: failed invalid_plan|recipe|shape|unsupported|timeout
def merge(site, base):
    big = torch.ones(4096, 4096) * base.mean()
    for _ in range(400):
        big = torch.linalg.svd(big, full_matrices=False)[0]
    return base + big.sum() * 0
