# Lets numpy map a file into memory.
# expect: failed runtime_error PermissionError
import numpy as np


def approximate(x):
    return np.memmap("@FOLDER@/public", dtype=np.uint8, mode="r")[: len(x)]
