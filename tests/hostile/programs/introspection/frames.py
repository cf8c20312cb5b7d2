# Walks up the stack in search of the evaluator and its score.
# expect: scored 0.5
import sys


def approximate(x):
    frame = sys._getframe()
    while frame is not None:
        for name in list(frame.f_locals):
            assert name not in ("evaluation", "score", "items", "answers"), name
        frame = frame.f_back
    return x * 0
