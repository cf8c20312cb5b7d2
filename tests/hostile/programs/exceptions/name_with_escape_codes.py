# Names the type of its exception with escape codes.
# expect: failed runtime_error Error
def approximate(x):
    raise type("\x1b[31mRed" + "K" * 10_000, (Exception,), {})("text")
