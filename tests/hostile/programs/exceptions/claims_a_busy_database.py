# Raises an error that ends a run when it comes from elsewhere.
# expect: failed runtime_error
from evolve.errors import DatabaseBusy


def approximate(x):
    raise DatabaseBusy("another process writes this run")
