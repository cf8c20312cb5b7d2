# Sends bools made of other bytes than 0 and 1, which counted as they are would count 255 each.
# expect: failed runtime_error CandidateError
import json
import os


def approximate(x):
    head = json.dumps({"a0": {"dtype": "BOOL", "shape": [200], "data_offsets": [0, 200]}}).encode()
    blob = len(head).to_bytes(8, "little") + head + b"\xff" * 200
    text = b'{"reply":{"value":{"__array__":"a0"}}}'
    os.write(4, len(text).to_bytes(8, "big") + len(blob).to_bytes(8, "big") + text + blob)
    os._exit(0)
