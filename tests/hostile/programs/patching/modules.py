# Replaces the modules that its process will need by itself.
# expect: failed runtime_error|crash
import sys

for name in [name for name in sys.modules if name.startswith(("evolve", "json", "numpy", "safetensors"))]:
    sys.modules[name] = sys.modules[__name__]


def approximate(x):
    return x
