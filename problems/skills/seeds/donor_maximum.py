"""The expert of the task maximum alone."""


# EVOLVE-BLOCK-START
def merge(site, maximum):
    """Merged weight of one parameter."""
    return maximum


# EVOLVE-BLOCK-END
