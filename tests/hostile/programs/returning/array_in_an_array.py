# Returns a place for an array as if it were data.
# expect: failed runtime_error TypeError
def approximate(x):
    return {"__array__": "a0"}
