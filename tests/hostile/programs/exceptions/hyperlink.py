# Puts a link and the text of the clipboard into the terminal by a message.
# expect: failed runtime_error RuntimeError
def approximate(x):
    raise RuntimeError("\x1b]8;;http://hostile.invalid\x07click\x1b]8;;\x07 \x1b]52;c;ZXZpbA==\x07 \x1bP+q544e\x1b\\")
