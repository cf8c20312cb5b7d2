# Looks for the texts of other programs and for answers among all objects.
# expect: scored 0.5
import gc


def approximate(x):
    mark = "# expect" + ": "
    own = 0
    for item in gc.get_objects():
        if isinstance(item, dict):
            own += sum(isinstance(value, str) and mark in value for value in item.values())
    assert own <= 2, "another program's text is in memory"
    return x * 0
