# Raises an exception whose text never ends being made.
# expect: failed timeout SandboxTimeout
class Endless(Exception):
    def __str__(self):
        while True:
            pass


def approximate(x):
    raise Endless
