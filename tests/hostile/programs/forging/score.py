# Returns what it takes for a finished evaluation.
# expect: failed runtime_error CandidateError
def approximate(x):
    return {"score": 1e9, "metrics": {}, "features": {}, "outcomes": [], "feedback": "best"}
