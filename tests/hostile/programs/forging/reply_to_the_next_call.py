# Answers its loading twice, so that the first call finds a reply before it was asked.
# expect: failed crash SandboxCrash
import json
import os

text = json.dumps({"reply": {"functions": ["approximate"]}}).encode()
os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)


def approximate(x):
    return [0.0] * len(x)
