# Looks for keys and paths of the run in the command line of its process.
# expect: scored 0.5
import sys


def approximate(x):
    words = " ".join([*sys.orig_argv, *sys.argv, *sys.path])
    assert "@FOLDER@" not in words
    assert "canary-" + "in-the-environment" not in words
    return x * 0
