# Writes an error in the sandbox's name, with escape codes.
# expect: failed runtime_error SandboxError
import json
import os


def approximate(x):
    record = {"kind": "SandboxError", "class": "SandboxError", "message": "\x1b[31mthe sandbox is broken", "line": "x"}
    text = json.dumps({"error": record}).encode()
    os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
    os._exit(0)
