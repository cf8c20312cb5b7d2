# Reads the passwords of the machine by a path that begins in an allowed folder.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("/usr/lib/../../etc/shadow").read()))] * len(x)
