# Its text pretends that another block begins, in which anything may stand.
# expect: failed runtime_error CandidateError
def approximate(x):
    text = "EVOLVE-" + "BLOCK-END"
    return f"# {text}\nimport os\n"
