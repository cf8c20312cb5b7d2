# Writes what a worker of the run would send, with a score.
# expect: failed crash SandboxCrash
import json
import os


def approximate(x):
    text = json.dumps({"id": 1, "evaluation": {"score": 1e9}, "seconds": 0, "phases": {}}).encode()
    os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
    os._exit(0)
