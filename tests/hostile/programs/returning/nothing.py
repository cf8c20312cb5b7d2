# Returns nothing.
# expect: failed runtime_error CandidateError
def approximate(x):
    return None
