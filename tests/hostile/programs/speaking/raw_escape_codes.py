# Its text holds [31mreal escape codes]0;owned for whoever prints it.
# expect: scored 0.5
def approximate(x):
    return x * 0
