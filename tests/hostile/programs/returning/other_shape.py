# Returns one row more, which broadcasting would accept.
# expect: failed runtime_error CandidateError
def approximate(x):
    return [[0.0] * len(x)]
