# Has torch load native code.
# expect: failed recipe
def merge(site, base):
    torch.ops.load_library("@FOLDER@/public")
    return base
