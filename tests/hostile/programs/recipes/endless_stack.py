# Builds a model of a million layers.
# expect: failed recipe|invalid_plan
def merge(site, base):
    return base


def stack(*arguments, **options):
    return [("merged", 0)] * 10**6
