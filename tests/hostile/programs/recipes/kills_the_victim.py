# Ends another process.
# expect: failed recipe PermissionError
import os


def merge(site, base):
    os.kill(int("@PID@"), 9)
    return base
