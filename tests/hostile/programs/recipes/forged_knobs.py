# Writes knobs that are no numbers, with escape codes for names.
# expect: failed crash SandboxCrash
import json
import os

plan = {"version": 2, "donors": [], "templates": [], "sites": [], "stack": None}
knobs = [{"name": "\x1b[31m", "value": {"deep": [1e999]}, "low": None, "high": "x"}]
text = json.dumps({"reply": {"plan": plan, "knobs": knobs}}).encode()
os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
os._exit(0)


def merge(site, base):
    return base
