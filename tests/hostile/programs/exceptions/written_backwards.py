# Turns the direction of the text around it.
# expect: failed runtime_error ValueError
def approximate(x):
    raise ValueError("\u202eerocs eht dlrow\u202c \u2066hidden\u2069 \u200b\ufeff end")
