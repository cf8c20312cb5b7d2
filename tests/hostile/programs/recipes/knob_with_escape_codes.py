# Names a number with escape codes, for whoever lists the numbers.
# expect: scored
strength = knob("\x1b[31mred\x1b]0;owned\x07", 0.5, low=0.0, high=1.0)


def merge(site, base):
    return base * (0.4 + strength)
