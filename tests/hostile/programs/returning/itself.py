# Returns a list that contains itself.
# expect: failed runtime_error|memory TypeError|RecursionError
def approximate(x):
    value = []
    value.append(value)
    return value
