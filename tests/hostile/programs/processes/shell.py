# Runs a command in a shell: the shell cannot be started, and its status says so.
# expect: scored 0.5
import os


def approximate(x):
    try:
        status = os.system("touch @FOLDER@/touched")
    except OSError:
        status = 1
    assert status != 0
    return x * 0
