# Raises the sandbox's own errors, so that the run is blamed and stops.
# expect: failed runtime_error
from evolve.errors import EvaluatorError, SandboxError


class Both(SandboxError, EvaluatorError):
    pass


def approximate(x):
    raise Both("the sandbox is broken; stop the run")
