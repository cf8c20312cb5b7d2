# Raises an exception of a hundred million letters with escape codes.
# expect: failed recipe ValueError
def merge(site, base):
    raise ValueError("\x1b[2J\x1b]0;owned\x07" + "A" * 10**8)
