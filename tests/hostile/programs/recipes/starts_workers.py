# Starts processes that share tensors.
# expect: failed
def merge(site, base):
    torch.multiprocessing.spawn(print, nprocs=2)
    return base
