# Asks the worker for an intermediate result of a trillion elements.
# expect: failed invalid_plan|recipe|shape
def merge(site, base):
    wide = base.flatten()[:, None, None].expand(-1, 10**6, 10**6)
    return base + wide.sum()
