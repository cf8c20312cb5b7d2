# Looks for keys of every user.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    for home in ("/root", "/home"):
        for name in (".ssh", ".aws", ".netrc", ".cache/huggingface/token", ".bash_history"):
            try:
                os.open(f"{home}/{name}", os.O_RDONLY)
            except FileNotFoundError:
                pass
    os.listdir("/home")
    return x
