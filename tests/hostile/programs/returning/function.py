# Returns a function that it would like to be called outside.
# expect: failed runtime_error TypeError
def approximate(x):
    return lambda: __import__("os").system("touch @FOLDER@/touched")
