# Compiles a program that is nested deeper than a compiler can follow.
# expect: failed memory|crash|runtime_error
def approximate(x):
    compile("-" * 100_000 + "1", "<deep>", "eval")
    return x
