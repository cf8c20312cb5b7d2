"""Changes that keep the form of an input and break its meaning, for formats that random bytes seldom get past."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 5, 2**31, 2**63, 10**400, -(10**30), 0.5, -0.0, 1e308, float("inf"),
    float("nan"), "", "base", "ja", "a", "b", "\x00", "\ud800", "x" * 300, "../../etc/passwd", [], [0], [[]], {},
    {"": 0}, [0] * 50, "merged", "total", "value", "mul", "matmul", "reshape", "statistic", "constant", "inf", "1e5",
)  # fmt: skip
ODD_TOML = (
    "nan", "-inf", "1e400", "0", "-1", "9" * 40, "9" * 5000, "true", '""', '"x"', "[]", "{}", "[1, 2]", '{a = 1}',
    "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", '"""\na"""', "0x1F", "1_000", '["a", "b"]', "[" * 40 + "]" * 40,
    "[" * 3000, '"{prepared}/x"', '"{problem}"', '"{"', '"~nobody/x"', '"\\u0000"', '"/etc/passwd"',
    '"' + "y" * 4000 + '"', '[{name = "s", kind = "lines", most = 5}]', '[{kind = "metric"}]', "{weight = -1}",
    '{path = "x", adapter = "y"}',
)  # fmt: skip
TABLES = (
    "score", "features.x", "profiles.default", "profiles.default.donors", "profiles.default.splits", "budget",
    "search", "search.options", "sandbox", "tasks.a", "objectives.o", "novelty", "evaluation", "proposals",
    "models.m", "stages", "profiles.default.statistics", "profiles.default.tokens", "profiles.default.settings",
    "[stages]", "a.b.c", "",
)  # fmt: skip
KEYS = (
    "kind", "title", "default_profile", "metric", "direction", "low", "high", "bins", "prepare", "vocabulary",
    "tokenizer", "search", "test", "fresh", "held_out", "evaluations", "usd", "time_s", "wall_s", "memory_mb",
    "islands", "name", "most", "least", "weight", "texts", "base", "a", "llm", "strategy", "device", "items",
    "stages", "features", "profiles", "",
)  # fmt: skip


def plan(data: bytes, rng: random.Random) -> bytes:
    """A JSON document with up to three of its parts exchanged, removed, doubled or moved; other data as it is."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(rng.randint(1, 3)):
        document = _changed(document, rng)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _changed(document: Any, rng: random.Random) -> Any:
    places = list(_places(document))
    if not places:
        return copy.deepcopy(rng.choice(ODD))
    holder, key = rng.choice(places)
    act = rng.randrange(5)
    if act == 0:
        del holder[key]
    elif act == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif act == 2:
        other, place = rng.choice(places)
        holder[key] = copy.deepcopy(other[place]) if place in other or isinstance(other, list) else 0
    elif act == 3 and isinstance(holder[key], int):
        holder[key] += rng.choice((-2, -1, 1, 2, 100))
    else:
        holder[key] = copy.deepcopy(rng.choice(ODD))  # a later change must not change the list above
    return document


def _places(value: Any) -> Any:
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, part in list(items):
        yield value, key
        yield from _places(part)


def problem(data: bytes, rng: random.Random) -> bytes:
    """A TOML text with up to three lines changed, removed, doubled, added or moved."""
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines))
        line = lines[place]
        act = rng.randrange(6)
        if act == 0 and len(lines) > 1:
            del lines[place]
        elif act == 1:
            lines.insert(rng.randrange(len(lines) + 1), line)
        elif act == 2:
            lines.insert(place, f"[{rng.choice(TABLES)}]")
        elif act == 3:
            lines.insert(place, f"{rng.choice(KEYS)} = {rng.choice(ODD_TOML)}")
        elif "=" in line and act == 4:
            lines[place] = f"{rng.choice(KEYS)} ={line.partition('=')[2]}"
        else:
            lines[place] = f"{line.partition('=')[0].strip() or 'a'} = {rng.choice(ODD_TOML)}"
    return "\n".join(lines).encode("utf-8", "replace")


PARTS = (
    "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "```python", "```", "~~~", "# EVOLVE-BLOCK-START",
    "# EVOLVE-BLOCK-END", "    return height * half", "def approximate(x):", "height = 1", "LAST = 1", "Idea: x",
    "<think>", "</think>", "\ufeff", "", "\r", "\x0c", "\u2028", "\t", "    # EVOLVE-BLOCK-START",
    "import numpy as np", "x = (", '"""', "\x00", "\ud800", "`" * 9, "  ", "−1", "<" * 5 + "search" + " x", "if x:",
    "    half = 1",
)  # fmt: skip


def lines(data: bytes, rng: random.Random) -> bytes:
    """A reply with up to four lines removed, doubled, moved, or exchanged for marks that replies are made of."""
    text = data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace").split("\n")
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text) + 1)
        act = rng.randrange(4)
        if act == 0 and place < len(text) > 1:
            del text[place]
        elif act == 1 and text:
            text.insert(place, rng.choice(text))
        elif act == 2 and place < len(text):
            text[place] = rng.choice(PARTS)
        else:
            text.insert(place, rng.choice(PARTS))
    return "\n".join(text).encode("utf-8", "surrogatepass")


def _after_first(data: bytes, rng: random.Random) -> bytes:
    """As ``lines``; the first byte, which chooses how, is drawn anew now and then."""
    first = data[:1] if data and rng.random() < 0.8 else bytes([rng.randrange(15)])
    return first + lines(data[1:], rng)


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "reply": lines, "patch": _after_first, "plan": plan, "problem": problem,
}  # fmt: skip


def mutated(target: str, data: bytes, seed: int) -> bytes:
    """The input with one change after another that ``seed`` decides; as it is where it is no text."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 4)):
        try:
            data = MUTATIONS[target](data, rng)
        except UnicodeDecodeError:
            return data
    return data
