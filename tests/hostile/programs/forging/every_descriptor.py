# Writes a forged reply into every open file, in the hope that one belongs to the run.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    text = b'{"evaluation":{"score":1000000000}}'
    for number in range(3, 256):
        try:
            os.write(number, len(text).to_bytes(8, "big") + bytes(8) + text)
        except OSError:
            pass
    os._exit(0)
