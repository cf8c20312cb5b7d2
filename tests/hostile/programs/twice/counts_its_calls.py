# Behaves well the first time: it remembers in a module of its own, which the next evaluation does not have.
# expect: scored 0.5
# again: scored 0.5
import sys


def approximate(x):
    module = sys.modules.setdefault("remembered", type(sys)("remembered"))
    module.calls = getattr(module, "calls", 0) + 1
    assert module.calls == 1, "a later evaluation remembers an earlier one"
    return x * 0
