# Returns rows of unequal lengths.
# expect: failed runtime_error CandidateError
def approximate(x):
    return [[0.0], [0.0, 1.0]] * (len(x) // 2)
