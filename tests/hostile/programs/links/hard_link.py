# Gives the canary a second name.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    os.link("@FOLDER@/public", "@FOLDER@/second")
    return x
