# Lists a folder that is open to everyone.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    return [float(len(os.listdir("@FOLDER@")))] * len(x)
