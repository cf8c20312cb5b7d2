"""The expert of the task majority alone."""


# EVOLVE-BLOCK-START
def merge(site, majority):
    """Merged weight of one parameter."""
    return majority


# EVOLVE-BLOCK-END
