# Has every later line of the sandbox's code call it.
# expect: failed|scored crash
import sys


def spy(frame, event, argument):
    if "request" in frame.f_locals:
        frame.f_locals["request"] = {"score": 10**9}
    return spy


sys.settrace(spy)
sys.setprofile(spy)


def approximate(x):
    return x * 0
