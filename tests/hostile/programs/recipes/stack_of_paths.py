# Builds a model of layers of a file.
# expect: failed recipe|invalid_plan
def merge(site, base):
    return base


def stack(*arguments, **options):
    return [("/etc/passwd", 0)]
