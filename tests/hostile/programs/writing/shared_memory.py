# Leaves data for others in shared memory.
# expect: failed runtime_error PermissionError
def approximate(x):
    with open("/dev/shm/evolve-hostile", "wb") as file:
        file.write(b"x" * 2**20)
    return x
