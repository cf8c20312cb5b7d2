# Reads messages and symbols of the kernel.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("/proc/kallsyms").readline()))] * len(x)
