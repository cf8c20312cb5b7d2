# Replaces the function that writes its reply.
# expect: failed crash SandboxCrash
import json

json.dumps = lambda *arguments, **options: "[[[["


def approximate(x):
    return x
