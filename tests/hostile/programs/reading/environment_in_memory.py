# Looks for the canary's value in all of its own memory that Python knows of.
# expect: scored 0.5
import gc


def approximate(x):
    word = "canary-" + "in-the-environment"
    for item in gc.get_objects():
        if isinstance(item, dict):
            assert not any(isinstance(value, str) and word in value for value in item.values())
    return x * 0
