# Reads a file that every user of the machine may read.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("@FOLDER@/public").read()))] * len(x)
