# Reads a file while it is traced.
# expect: failed recipe PermissionError
def merge(site, base):
    return base * float(len(open("@FOLDER@/public").read()))
