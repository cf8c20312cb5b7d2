# Names a file where a statistic is expected.
# expect: failed recipe
def merge(site, base):
    return base * site.stat("../../../etc/passwd", "base")
