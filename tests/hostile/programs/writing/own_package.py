# Writes into the package that judges it.
# expect: failed runtime_error PermissionError
import evolve.returned


def approximate(x):
    with open(evolve.returned.__file__, "r+") as file:
        file.write("#")
    return x
