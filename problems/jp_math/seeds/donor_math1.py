"""The first mathematics expert alone."""


# EVOLVE-BLOCK-START
def merge(site, math1):
    """Merged weight of one parameter."""
    return math1


# EVOLVE-BLOCK-END
