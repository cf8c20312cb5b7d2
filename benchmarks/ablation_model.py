"""A scripted language model for the ablation: a fixed program that edits tables of answers and uses what it is told.

It follows recommendations, insights with a gain and the change of a lesson, turns to kinds that item feedback calls
failed, makes as many changes as the advice says, now and then repeats a program or writes a faulty one. It says
nothing about what real models do with the same information.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import ablation_problem as problem

LAZY = 0.15
"""How often it repeats the program shown."""

FAULTY = 0.1
"""How often one of its answers is out of range."""

HEEDS = 0.7
"""How often a change uses what the prompt tells; else it is drawn at random."""

BOLDEST = 4

_ENTRY = re.compile(r'"(k\d\d)": (\d+),')
_CHANGE = re.compile(r"(k\d\d) to (\d+)")
_GAIN = re.compile(r": ([+-]\d[\d.e-]*)")
_KIND = re.compile(r'"kind": "(k\d\d)"')
_ADVICE = re.compile(r"Change (\d+) answers")

Answers = dict[str, int]
Change = tuple[str, int]


@dataclass(frozen=True)
class Told:
    """What a prompt tells: the program, changes that helped, changes that hurt, failed kinds, how many to change."""

    answers: Answers
    helped: tuple[Change, ...]
    hurt: frozenset[Change]
    failed: tuple[str, ...]
    count: int


def section(prompt: str, opening: str) -> str:
    """The fenced text after the line that begins with ``opening``; empty where the prompt has none."""
    found = re.search(rf"^{re.escape(opening)}.*?^(```+)\w*\n(.*?)^\1$", prompt, re.DOTALL | re.MULTILINE)
    return found.group(2) if found is not None else ""


def answers_of(source: str) -> Answers:
    return {kind: int(value) for kind, value in _ENTRY.findall(source)}


def told(prompt: str) -> Told:
    """Reads a prompt as a model would."""
    helped, hurt = changes(section(prompt, "What edits on the way to this program"))
    recommended = _CHANGE.findall(section(prompt, "# What this run has learned so far"))
    lesson = [
        match for line in section(prompt, "# A change that helped").splitlines() if line.startswith("+")
        for match in _ENTRY.findall(line)
    ]  # fmt: skip
    advised = _ADVICE.search(prompt)
    return Told(
        answers_of(section(prompt, "# The program to change")),
        tuple((kind, int(value)) for kind, value in [*lesson, *recommended]) + helped,
        hurt,
        failed(section(prompt, "Its answers to single items")),
        int(advised.group(1)) if advised is not None else 1,
    )


def changes(lines: str) -> tuple[tuple[Change, ...], frozenset[Change]]:
    """The changes that raised and those that lowered the score, from lines that end in gains."""
    helped, hurt = list[Change](), set[Change]()
    for line in lines.splitlines():
        gain = _GAIN.search(line)
        made = [(kind, int(value)) for kind, value in _CHANGE.findall(line)]
        if gain is not None and float(gain.group(1)) > 0:
            helped += made
        elif gain is not None and float(gain.group(1)) < 0 and len(made) == 1:
            hurt.update(made)
    return tuple(helped), frozenset(hurt)


def failed(lines: str) -> tuple[str, ...]:
    """The kinds of items in lists other than that of items won."""
    found, won = list[str](), False
    for line in lines.splitlines():
        if line.startswith("- "):
            found += [] if won else _KIND.findall(line)
        else:
            won = line.startswith("Better, ")
    return tuple(dict.fromkeys(found))


def reply(messages: list[dict[str, str]], rng: random.Random) -> str:
    """The model's answer to a conversation."""
    prompt = "\n\n".join(message["content"] for message in messages if message["role"] != "assistant")
    if "Distil it into advice" in prompt:
        return recommendations(prompt)
    if "Write one new paragraph" in prompt:
        return f"Change {rng.randint(2, BOLDEST)} answers at once, draft {rng.randrange(1000)}."
    facts = told(prompt)
    if "Repair the error" in prompt:
        wrong = [kind for kind, value in facts.answers.items() if value >= problem.VALUES]
        return edits(facts.answers, {kind: rng.randrange(problem.VALUES) for kind in wrong})
    if "# The second parent" in prompt:
        other = answers_of(section(prompt, "# The second parent"))
        mixed = {kind: rng.choice((value, other.get(kind, value))) for kind, value in facts.answers.items()}
        return whole(facts.answers, mixed)
    chosen = choice(facts, rng)
    if rng.random() < FAULTY:
        chosen[rng.choice(sorted(facts.answers))] = problem.VALUES + 3
    if rng.random() < LAZY and not any(message["role"] == "assistant" for message in messages):
        chosen = {}
    if "Rewrite the program along" in prompt:
        return whole(facts.answers, {**facts.answers, **chosen})
    return edits(facts.answers, chosen)


def recommendations(prompt: str) -> str:
    """The changes of the edits that helped, the new ones first, then those of the advice so far."""
    helped, _ = changes(section(prompt, "# Edits that raised the score most"))
    before = [(kind, int(value)) for kind, value in _CHANGE.findall(section(prompt, "# The advice so far"))]
    kept = list(dict.fromkeys([*helped, *before]))
    return "\n".join(f"- set {kind} to {value}" for kind, value in kept) or "- no edit has helped yet"


def choice(facts: Told, rng: random.Random) -> Answers:
    """The answers to change."""
    chosen: Answers = {}
    for _ in range(facts.count):
        helped = [(kind, value) for kind, value in facts.helped if facts.answers.get(kind) not in (None, value)]
        if helped and rng.random() < HEEDS:
            kind, value = rng.choice(helped)
        else:
            kinds = facts.failed if facts.failed and rng.random() < HEEDS else sorted(facts.answers)
            kind = rng.choice(kinds)
            others = [value for value in range(problem.VALUES) if value != facts.answers.get(kind)]
            value = rng.choice([value for value in others if (kind, value) not in facts.hurt] or others)
        chosen[kind] = value
    return chosen


def idea(before: Answers, after: Answers) -> str:
    made = [f"{kind} to {value}" for kind, value in after.items() if before.get(kind) != value]
    return f"Idea: set {', '.join(made)}" if made else "Idea: leave it as it is"


def edits(before: Answers, chosen: Answers) -> str:
    """SEARCH/REPLACE blocks; without a change one that replaces a line by itself."""
    shown = chosen or dict([next(iter(before.items()))])
    blocks = [
        f'<<<<<<< SEARCH\n    "{kind}": {before[kind]},\n=======\n    "{kind}": {value},\n>>>>>>> REPLACE'
        for kind, value in shown.items()
    ]
    return "\n\n".join([idea(before, chosen), *blocks])


def whole(before: Answers, after: Answers) -> str:
    return f"{idea(before, after)}\n\n```python\n{problem.program(after)}```"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.turn:
            text = reply(body["messages"], self.server.rng)
        message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"]}
        data = json.dumps({**answer, "choices": [message]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are in the database of the run."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)
        self.turn = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)


@contextmanager
def serving(seed: str) -> Iterator[str]:
    """The base address of a running server of the model, for an OpenAI client."""
    server = _Server(seed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
