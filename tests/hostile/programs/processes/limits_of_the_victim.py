# Takes the processor time of another process away.
# expect: failed runtime_error PermissionError
import resource


def approximate(x):
    resource.prlimit(int("@PID@"), resource.RLIMIT_CPU, (1, 1))
    return x
