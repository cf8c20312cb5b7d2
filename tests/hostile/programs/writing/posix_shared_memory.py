# Asks multiprocessing for shared memory.
# expect: failed runtime_error PermissionError|ModuleNotFoundError
from multiprocessing import shared_memory


def approximate(x):
    return [float(shared_memory.SharedMemory(create=True, size=2**20).size)] * len(x)
