# Claims that it could not be jailed.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    os.write(4, b'{"failed": "no jail here"}')
    os._exit(1)
