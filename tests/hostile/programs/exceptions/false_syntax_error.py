# Raises a syntax error whose fields are no texts and no numbers.
# expect: failed runtime_error SyntaxError
def approximate(x):
    error = SyntaxError("x")
    error.msg = type("Text", (), {"__str__": lambda self: "a" * 10**6})()
    error.filename = "<program>"
    error.lineno = 10**30
    raise error
