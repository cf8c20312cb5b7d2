# Returns numbers written as texts.
# expect: failed runtime_error CandidateError
def approximate(x):
    return ["0.0"] * len(x)
