# Leaves a file in the folder for temporary ones.
# expect: failed runtime_error PermissionError
def approximate(x):
    with open("/tmp/evolve-hostile-temporary", "w") as file:
        file.write("left behind")
    return x
