# Returns integers that no float can hold.
# expect: failed runtime_error CandidateError
def approximate(x):
    return [10**400] * len(x)
