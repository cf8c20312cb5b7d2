# Returns keys and texts with escape codes, which an evaluator might show.
# expect: failed runtime_error CandidateError
def approximate(x):
    return {"\x1b[31mkey\x1b]0;owned\x07": "\x1b[2Jtext" * 100}
