# Raises what no ordinary handler catches.
# expect: failed runtime_error GeneratorExit
def approximate(x):
    raise GeneratorExit("past every handler")
