# Adds a line to a file that everyone may write.
# expect: failed runtime_error PermissionError
def approximate(x):
    with open("@FOLDER@/public", "a") as file:
        file.write("touched")
    return x
