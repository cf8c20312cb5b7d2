# Sends a reply one byte at a time, so that something always arrives.
# expect: failed timeout SandboxTimeout
import os
import time


def approximate(x):
    os.write(4, (10**6).to_bytes(8, "big") + bytes(8))
    while True:
        os.write(4, b" ")
        time.sleep(0.001)
