# Goes by the kernel's link to the folder in which its parent works.
# expect: failed runtime_error PermissionError
import os


def approximate(x):
    return [float(len(os.listdir(f"/proc/{os.getppid()}/cwd/root")))] * len(x)
