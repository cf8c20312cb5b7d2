# Names a folder where a donor is expected.
# expect: failed recipe
def merge(site, base, **donors):
    return donors["../../etc"]
