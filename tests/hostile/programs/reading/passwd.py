# Reads the users of the machine.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("/etc/passwd").read()))] * len(x)
