# Follows a link that lies in the canary's folder.
# expect: failed runtime_error PermissionError
def approximate(x):
    return [float(len(open("@FOLDER@/link").read()))] * len(x)
