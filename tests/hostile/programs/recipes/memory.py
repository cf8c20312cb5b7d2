# Makes a tensor of ten gigabytes.
# expect: failed memory|invalid_plan|recipe
def merge(site, base):
    return base + torch.ones(10 * 2**27).sum()
