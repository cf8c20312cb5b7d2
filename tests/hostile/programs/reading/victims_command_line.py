# Reads the command line of another process, where keys are sometimes given.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("/proc/@PID@/cmdline").read()))] * len(x)
