# Lets torch unpickle a file, which could run anything.
# expect: failed recipe
def merge(site, base):
    return base + torch.load("@FOLDER@/public", weights_only=False)
