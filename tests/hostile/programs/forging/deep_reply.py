# Sends lists within lists, to overflow the stack of whoever reads them.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    text = b'{"reply":{"value":' + b"[" * 500_000 + b"]" * 500_000 + b"}}"
    os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
    os._exit(0)
