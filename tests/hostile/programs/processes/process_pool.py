# Starts a pool of processes.
# expect: failed runtime_error PermissionError|ModuleNotFoundError|NotImplementedError
from concurrent.futures import ProcessPoolExecutor


def approximate(x):
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(float, x))
