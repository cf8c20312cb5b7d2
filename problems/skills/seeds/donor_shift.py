"""The expert of the task shift alone."""


# EVOLVE-BLOCK-START
def merge(site, shift):
    """Merged weight of one parameter."""
    return shift


# EVOLVE-BLOCK-END
