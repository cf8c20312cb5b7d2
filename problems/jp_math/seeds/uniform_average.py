"""The plain average of the three experts."""

from evolve.methods import linear


# EVOLVE-BLOCK-START
def merge(site, ja, math1, math2):
    """Merged weight of one parameter."""
    return linear([ja, math1, math2], [1.0, 1.0, 1.0])


# EVOLVE-BLOCK-END
