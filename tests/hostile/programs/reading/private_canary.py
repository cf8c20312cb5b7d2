# Reads a file that only the user of the run may read.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("@FOLDER@/private").read()))] * len(x)
