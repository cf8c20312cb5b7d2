"""The second mathematics expert alone."""


# EVOLVE-BLOCK-START
def merge(site, math2):
    """Merged weight of one parameter."""
    return math2


# EVOLVE-BLOCK-END
