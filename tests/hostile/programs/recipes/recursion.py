# Calls itself without end.
# expect: failed memory|recipe RecursionError
def merge(site, base):
    return merge(site, base)
