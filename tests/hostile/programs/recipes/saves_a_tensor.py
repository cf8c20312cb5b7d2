# Lets torch write a file.
# expect: failed
def merge(site, base):
    torch.save(torch.ones(3), "/tmp/evolve-hostile-tensor")
    return base
