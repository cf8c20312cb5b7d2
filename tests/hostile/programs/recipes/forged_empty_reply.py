# Writes a reply in which there is no plan.
# expect: failed crash SandboxCrash
import os

text = b'{"reply":{}}'
os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
os._exit(0)


def merge(site, base):
    return base
