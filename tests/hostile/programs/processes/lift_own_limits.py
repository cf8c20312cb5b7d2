# Allows itself more memory, processes and files.
# expect: failed runtime_error ValueError|PermissionError
import resource


def approximate(x):
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (hard + 4096, hard + 4096))
    return x
