# Maps a file as a tensor.
# expect: failed
def merge(site, base):
    return base + torch.from_file("@FOLDER@/public", size=4)
