# Opens a file as a mere place (which needs no right) and then reads through it.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    place = os.open("@FOLDER@/public", os.O_PATH)
    return [float(os.open(f"/proc/self/fd/{place}", os.O_RDONLY))] * len(x)
