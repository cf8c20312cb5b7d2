# Writes a finished evaluation in place of a plan.
# expect: failed crash SandboxCrash
import os

text = b'{"reply":{"score":1.0,"evaluation":{"score":1000000000.0}}}'
os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
os._exit(0)


def merge(site, base):
    return base
