# Tells the tracer that the site has another shape.
# expect: failed
def merge(site, base):
    object.__setattr__(site, "shape", torch.Size((10**6, 10**6)))
    return base.flatten()[:1].expand(10**6, 10**6)
