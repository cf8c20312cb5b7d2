# Writes a plan of eight megabytes whose fingerprint alone would take hours.
# expect: failed invalid_plan InvalidPlan
import json
import os

nodes = [["donor", [], {"name": "base"}]] + [["add", [number, number], {}] for number in range(100_000)]
template = {"nodes": nodes, "output": 100_000}
site = {"name": "s", "shape": [4], "template": 0, "gathers": []}
sites = [{**site, "shape": [number], "values": []} for number in range(50_000)]
plan = {"version": 2, "donors": ["base"], "templates": [template], "sites": sites, "stack": None}
text = json.dumps({"reply": {"plan": plan, "knobs": []}}, separators=(",", ":")).encode()
data = memoryview(len(text).to_bytes(8, "big") + bytes(8) + text)
while data:
    data = data[os.write(4, data[: 2**20]) :]
os._exit(0)


def merge(site, base):
    return base
