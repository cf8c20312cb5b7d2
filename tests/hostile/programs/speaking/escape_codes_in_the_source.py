# Its text itself holds no control characters, but says them: what it prints goes nowhere.
# expect: scored 0.5
def approximate(x):
    print("\033[2J\033]0;owned\007", flush=True)
    return x * 0
