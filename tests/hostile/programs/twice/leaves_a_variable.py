# Behaves well the first time: it remembers in the environment.
# expect: scored 0.5
# again: scored 0.5
import os

assert "REMEMBERED" not in os.environ, "a later evaluation finds the variable of an earlier one"
os.environ["REMEMBERED"] = "yes"
os.putenv("REMEMBERED", "yes")


def approximate(x):
    return x * 0
