"""What it costs to start a jailed process for a candidate, beside what engines without a fork server do.

    python benchmarks/sandbox.py                 200 candidates of each kind
    python benchmarks/sandbox.py --candidates 50

*Start* is the time from the request to the candidate's first answer: fork, jail, reading the text, and tracing one
parameter of a recipe, or loading a program and listing its functions. *Start and end* goes on until the process is
known to be dead. The other lines start a Python that imports what such a candidate finds in memory, and do nothing
else. All are measured in turn, so that what disturbs the machine disturbs each. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date

import numpy as np

from evolve.sandbox import program
from evolve.sandbox.client import Sandbox
from evolve.site import Site

PROGRAM = "import numpy as np\n\n\ndef approximate(x):\n    return np.sin(x) * {number}\n"
RECIPE = """from evolve.recipe import knob


def merge(site, base, ja, math):
    w = knob("w", {number}, low=0.0, high=2.0)
    return base + w * (ja - base) + (1 - w) * (math - base)
"""


class Kind:
    """Candidates of one kind in a sandbox of their own."""

    def __init__(self, entry: str, preload: tuple[str, ...], request: Callable[[float], dict[str, object]]) -> None:
        self.sandbox = Sandbox(entry, preload)
        self._request = request
        self.start_s: list[float] = []
        self.whole_s: list[float] = []
        self.sandbox.run(request(0.5))

    def measure(self, number: float) -> None:
        """One candidate."""
        request = self._request(number)
        began = time.perf_counter()
        session = self.sandbox.session(request)
        self.start_s.append(time.perf_counter() - began)
        session.close()
        self.whole_s.append(time.perf_counter() - began)


def tracing(number: float) -> dict[str, object]:
    site = Site("model.layers.0.self_attn.q_proj.weight", 0, 0.0, "q_proj", "attention", (64, 64))
    donors = {name: {"layers": 4} for name in ("base", "ja", "math")}
    return {"source": RECIPE.format(number=number), "sites": [site.to_dict()], "donors": donors}


def fresh(modules: str) -> float:
    """Seconds that a new Python takes to import modules and to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
    return time.perf_counter() - began


def row(name: str, seconds: list[float]) -> str:
    values = [statistics.median(seconds), *np.percentile(seconds, [90, 99])]
    return f"| {name} | {len(seconds)} | " + " | ".join(f"{1000 * value:.1f}" for value in values) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    kinds = {
        "program": Kind(program.ENTRY, program.PRELOAD, lambda n: {"source": PROGRAM.format(number=n)}),
        "recipe": Kind("evolve.recipe.trace:serve", ("torch", "evolve.methods"), tracing),
    }
    pythons: dict[str, list[float]] = {"numpy, scipy.optimize": [], "torch": []}
    for place in range(options.candidates):
        for kind in kinds.values():
            kind.measure(place / options.candidates)
        if place % 20 == 0:
            for modules, seconds in pythons.items():
                seconds.append(fresh(modules))
    print(f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}\n")
    print("| ms | candidates | median | 90 % | 99 % |\n|:--|--:|--:|--:|--:|")
    for name, kind in kinds.items():
        print(row(f"{name}: start", kind.start_s))
        print(row(f"{name}: start and end", kind.whole_s))
        kind.sandbox.close()
    for modules, seconds in pythons.items():
        print(row(f"a new Python that imports {modules}", seconds))


if __name__ == "__main__":
    main()
