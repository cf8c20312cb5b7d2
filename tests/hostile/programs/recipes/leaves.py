# Ends its process without a word.
# expect: failed crash SandboxCrash
import os


def merge(site, base):
    os._exit(0)
