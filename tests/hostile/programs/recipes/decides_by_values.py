# Chooses by the weights, which a plan cannot express.
# expect: failed value_dependence
def merge(site, base):
    return base if base.sum() > 0 else -base
