# Returns more text than a reply may hold.
# expect: failed crash SandboxCrash
def approximate(x):
    return "x" * 2**24
