# Starts workers of its own.
# expect: failed runtime_error PermissionError|ModuleNotFoundError
import multiprocessing


def approximate(x):
    worker = multiprocessing.get_context("fork").Process(target=print)
    worker.start()
    worker.join()
    return x
