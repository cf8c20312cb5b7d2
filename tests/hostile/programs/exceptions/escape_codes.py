# Clears the screen and sets the window's title by a message.
# expect: failed runtime_error ValueError
def approximate(x):
    raise ValueError("\x1b[2J\x1b[31m\x1b]0;owned\x07done\x9b5m\r\nsecond line\x08\x08\x08")
