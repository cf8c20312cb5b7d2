# Defines nothing that could be called.
# expect: failed runtime_error CandidateError
approximate = 3
