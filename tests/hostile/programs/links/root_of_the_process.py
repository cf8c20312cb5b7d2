# Goes by the kernel's link to its own root.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("/proc/self/root/etc/passwd").read()))] * len(x)
