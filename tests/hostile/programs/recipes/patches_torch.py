# Replaces functions of torch in its own process.
# expect: scored
torch.Tensor.__add__ = lambda self, other: self
torch.add = torch.mul = lambda *arguments, **options: arguments[0]


def merge(site, base):
    return base * 0.75
