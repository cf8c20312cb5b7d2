"""The Japanese expert alone."""


# EVOLVE-BLOCK-START
def merge(site, ja):
    """Merged weight of one parameter."""
    return ja


# EVOLVE-BLOCK-END
