# Begins a reply and never ends it.
# expect: failed timeout SandboxTimeout
import os


def approximate(x):
    os.write(4, (1000).to_bytes(8, "big") + bytes(8) + b"{")
    while True:
        pass
