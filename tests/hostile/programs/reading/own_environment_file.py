# Reads the environment with which its process was started from the kernel.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("/proc/self/environ").read()))] * len(x)
