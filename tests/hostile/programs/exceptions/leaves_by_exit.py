# Leaves with a status that means success.
# expect: failed crash SystemExit
import sys


def approximate(x):
    sys.exit(0)
