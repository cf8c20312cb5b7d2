"""What is fuzzed: each function takes bytes, feeds them to one reader of foreign text, and fails unless that returns a
sound value or raises the errors it promises."""

from __future__ import annotations

import ast
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evolve import problem as problems
from evolve.cli.new import SCAFFOLDS
from evolve.errors import InvalidPlan, NoCodeError, PatchError, ProblemError
from evolve.plan.plan import Plan
from evolve.plan.validate import validate
from evolve.propose.blocks import find_blocks, outside
from evolve.propose.patch import apply_reply
from evolve.propose.reply import MAX_DESCRIPTION, code_blocks, description_of, edits_of, has_edits, normalised
from evolve.site import Site

LONGEST_S = 5.0
"""What one input of at most 64 kB may take; on an idle machine all stay far below."""
PATCHES = ("diff", "full", "cross", "fix", "thought")
ONE_BLOCK = """import numpy as np

# EVOLVE-BLOCK-START
height = knob("height", 0.9, low=0.0, high=2.0)


def approximate(x):
    half = np.where(x < np.pi, x, x - np.pi)
    return height * half
# EVOLVE-BLOCK-END

LAST = 1
"""
TWO_BLOCKS = f"{ONE_BLOCK}\n# EVOLVE-BLOCK-START\ndef other(x):\n    return x\n# EVOLVE-BLOCK-END\n"
SOURCES = (ONE_BLOCK, TWO_BLOCKS, ONE_BLOCK.replace("\n", "\r\n"))
SITES = [Site("a", 0, 0.0, "q_proj", "attention", (2, 3)), Site("b", 1, 1.0, "input_norm", "norm", (4,))]


def text_of(data: bytes) -> str:
    """The text of a reply as a service's JSON can hold it: any code point, also halves of pairs."""
    return data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace") if _decodes(data) else ""


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")
    except UnicodeDecodeError:
        return False
    return True


def reply(data: bytes) -> None:
    """The parts of a reply."""
    text = normalised(text_of(data))
    description = description_of(text)
    assert len(description) <= MAX_DESCRIPTION
    assert description == "" or description.isprintable()
    assert all(code.strip("\n") or code for code in code_blocks(text))
    try:
        edits = edits_of(text)
    except PatchError as error:
        assert str(error)
        return
    assert bool(edits) == has_edits(text)


def patch(data: bytes) -> None:
    """A reply applied to a program; the first byte chooses the program and the kind of edit."""
    if not data:
        return
    source, kind = SOURCES[data[0] % len(SOURCES)], PATCHES[data[0] // len(SOURCES) % len(PATCHES)]
    try:
        child = apply_reply(source, text_of(data[1:]), kind)  # type: ignore[arg-type]
    except (PatchError, NoCodeError) as error:
        assert str(error)
        return
    assert child != source
    assert outside(child) == outside(source)
    assert len(find_blocks(child)) == len(find_blocks(source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ast.parse(child)


def plan(data: bytes) -> None:
    """A plan document."""
    try:
        found = Plan.from_json(data)
        validate(found, SITES, {"base": 2, "ja": 3}, statistics={"ja": ("fisher",)})
    except InvalidPlan as error:
        assert str(error) and len(str(error)) < 2000
        return
    assert Plan.from_dict(json.loads(found.to_json())).digest == found.digest


def problem(data: bytes) -> None:
    """A problem.toml."""
    folder = _problem_folder()
    (folder / "problem.toml").write_bytes(data)
    try:
        found = problems.load(str(folder))
        found.config()
        found.splits(folder)
        found.donors(folder)
        found.statistics(folder)
    except ProblemError as error:
        assert "\n" not in str(error) and len(str(error)) < 5000


_folder: list[Path] = []


def _problem_folder() -> Path:
    """A copy of the program example, made once for a process."""
    if not _folder:
        made = Path(tempfile.mkdtemp(prefix="evolve-fuzz-")) / "problem"
        shutil.copytree(SCAFFOLDS / "program", made)
        _folder.append(made)
    return _folder[0]


def remove_folder() -> None:
    """Removes what ``problem`` made."""
    while _folder:
        shutil.rmtree(_folder.pop().parent)


TARGETS: dict[str, Callable[[bytes], None]] = {"reply": reply, "patch": patch, "plan": plan, "problem": problem}


def examples() -> dict[str, list[bytes]]:
    """Good inputs of each target, for a fuzzer to begin with."""
    full = f"Idea: another height\n\n```python\n{ONE_BLOCK.replace('0.9', '0.8')}```\n"
    diff = "Idea: x\n<<<<<<< SEARCH\n    return height * half\n=======\n    return half\n>>>>>>> REPLACE\n"
    tomls = [path.read_bytes() for path in sorted(SCAFFOLDS.glob("*/problem.toml"))]
    documents = [json.dumps(document).encode() for document in _documents()]
    texts = [full.encode(), diff.encode(), b"<think>no</think>~~~py\nx = 1\n~~~"]
    return {"reply": texts, "patch": [bytes([n]) + t for n, t in enumerate(texts)], "plan": documents, "problem": tomls}


def _documents() -> list[dict[str, Any]]:
    nodes: list[Any] = [["donor", [], {"name": "base"}], ["value", [], {"slot": 0}], ["mul", [0, 1], {}]]
    total: list[Any] = [["total", [], {"name": "t"}], ["donor", [], {"name": "ja"}], ["mul", [1, 0], {}]]
    gathered: list[Any] = [["donor", [], {"name": "ja"}], ["sum", [0], {"dims": None, "keepdim": False}]]
    sites = [{"name": s.name, "shape": list(s.shape), "template": 0, "values": [0.5], "gathers": []} for s in SITES]
    gathers = [{"name": "t", "template": 1, "values": []}]
    plain = {"version": 2, "donors": ["base"], "templates": [{"nodes": nodes, "output": 2}], "sites": sites}
    templates = [{"nodes": total, "output": 2}, {"nodes": gathered, "output": 1}]
    totals = [{**site, "values": [], "gathers": gathers} for site in sites]
    stack = [{"model": "merged", "layer": 0, "scale": 1.0}, {"model": "base", "layer": 1, "scale": -0.5}]
    with_totals = {"version": 2, "donors": ["ja"], "templates": templates, "sites": totals, "stack": None}
    return [{**plain, "stack": stack}, with_totals]


def timed(name: str, data: bytes) -> None:
    """Runs a target; an input that takes long is a finding too."""
    started = time.process_time()
    TARGETS[name](data)
    spent = time.process_time() - started
    assert spent < LONGEST_S, f"{name}: {len(data)} bytes took {spent:.1f} s"
