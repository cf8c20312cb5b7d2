# Raises an exception whose every attribute raises.
# expect: failed runtime_error|crash
class Strange(Exception):
    line = property(lambda self: 1 / 0)
    __class__ = property(lambda self: int)

    def __str__(self):
        raise SystemExit

    def __getattribute__(self, name):
        raise KeyboardInterrupt


def approximate(x):
    raise Strange
