# Computes honestly while it is loaded and cheats when it is called.
# expect: failed runtime_error CandidateError
# again: failed runtime_error CandidateError
state = {"loaded": True}


def approximate(x):
    return [10**400 if state["loaded"] else 0.0] * len(x)
