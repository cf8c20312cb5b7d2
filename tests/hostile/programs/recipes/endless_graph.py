# Adds operations to the plan without end.
# expect: failed invalid_plan|recipe|memory|timeout
def merge(site, base):
    while True:
        base = base * 1.0001 + base
