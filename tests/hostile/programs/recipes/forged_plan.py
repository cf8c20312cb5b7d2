# Writes a plan that names a file and an operation nobody knows.
# expect: failed invalid_plan InvalidPlan
import json
import os

nodes = [["donor", [], {"name": "/etc/passwd"}], ["os.system", [0], {"command": "true"}]]
plan = {
    "version": 2,
    "donors": ["/etc/passwd"],
    "templates": [{"nodes": nodes, "output": 1}],
    "sites": [{"name": "model.norm.weight", "shape": [4], "template": 0, "values": [], "gathers": []}],
    "stack": None,
}
text = json.dumps({"reply": {"plan": plan, "knobs": []}}).encode()
os.write(4, len(text).to_bytes(8, "big") + bytes(8) + text)
os._exit(0)


def merge(site, base):
    return base
