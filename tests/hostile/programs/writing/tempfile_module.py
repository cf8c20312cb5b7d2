# Asks Python for a place to write.
# expect: failed runtime_error FileNotFoundError
import tempfile


def approximate(x):
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 2**20)
    return x
