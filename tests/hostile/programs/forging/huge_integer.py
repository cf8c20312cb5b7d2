# Sends a number of a million digits, which takes minutes to read.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    text = b'{"reply":{"value":' + b"9" * 1_000_000 + b"}}"
    os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
    os._exit(0)
