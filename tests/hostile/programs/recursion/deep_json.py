# Has a library read what is nested too deeply.
# expect: failed memory RecursionError
import json


def approximate(x):
    return json.loads("[" * 100_000 + "]" * 100_000)
