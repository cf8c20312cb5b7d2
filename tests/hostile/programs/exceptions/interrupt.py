# Pretends that a person pressed Ctrl-C.
# expect: failed crash KeyboardInterrupt
def approximate(x):
    raise KeyboardInterrupt
