# Sends bytes that are no text.
# expect: failed crash SandboxCrash
import os


def approximate(x):
    text = b'{"reply":{"value":"\xff\xfe"}}'
    os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
    os._exit(0)
