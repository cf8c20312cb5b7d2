# Sends a second reply after the first, for a call that has not come.
# expect: scored 0.5
import json
import os


def approximate(x):
    text = json.dumps({"reply": {"value": [0.0] * len(x)}}).encode()
    os.write(4, 2 * (len(text).to_bytes(8, "big") + bytes(8) + text))
    os._exit(0)
