"""Turns a language model's reply into the child's source, touching nothing outside the EVOLVE-BLOCKs."""

from __future__ import annotations

import ast
import difflib
import itertools
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evolve.errors import NoCodeError, PatchError
from evolve.propose.base import EDITS, Patch
from evolve.propose.blocks import find_blocks, has_markers, lines_of, newline_of, outside, replace_blocks
from evolve.propose.reply import Edit, code_blocks, edits_of, has_edits, normalised

_FOLDED = str.maketrans({
    "‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "−": "-",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "…": "...",
})  # fmt: skip
NEAREST_LINES = 5
LINE_CHARACTERS = 200
"""What is quoted of a line, or compared: the time of that grows with the square of its length."""
MAX_SOURCE_BYTES = 400_000
MAX_JOINED = 500
"""Conditions in one ``and``, parts of a dotted name: Python takes any number, but what edits programs recurses."""
_LONG_NAME = re.compile(rf"\b(?:\w++[\s\\]*+\.[\s\\]*+){{{MAX_JOINED}}}")


def apply_reply(source: str, reply: str, patch: Patch) -> str:
    """The child that a reply describes.

    SEARCH/REPLACE edits are applied where the reply has them, whatever was asked for; otherwise its fenced code is
    taken as the new program or block. Raises NoCodeError for a reply without code, PatchError for an edit that does not
    apply, lies outside the blocks, changes nothing, or is not valid Python.
    """
    text = normalised(reply)
    if not text.strip():
        raise NoCodeError("the reply is empty; answer with the edit")
    if has_edits(text):
        child = apply_edits(source, edits_of(text))
    else:
        child = apply_full(source, _only_program(source, text, patch))
    if child == source:
        raise PatchError("the edit changes nothing; the program must differ from the one shown")
    if len(child.encode("utf-8", "replace")) > MAX_SOURCE_BYTES:
        raise PatchError(f"the program is larger than {MAX_SOURCE_BYTES} bytes; shorten it")
    check_syntax(child)
    return child


def _only_program(source: str, text: str, patch: Patch) -> str:
    """The fenced block that is meant: the last with markers, else the only one that defines the program's functions."""
    found = code_blocks(text)
    if not found and has_markers(text):
        found = [text]
    if not found:
        wanted = "SEARCH/REPLACE blocks" if patch in EDITS else "a fenced ```python block"
        raise NoCodeError(f"the reply holds no code; answer with {wanted}")
    marked = [code for code in found if has_markers(code)]
    if marked:
        return marked[-1]
    names = _defined("".join(block.text(source) for block in find_blocks(source)))
    whole = [code for code in found if names and names <= _defined(code)]
    candidates = whole or found
    if len(set(candidates)) == 1:
        return candidates[0]
    raise PatchError(f"the reply holds {len(candidates)} code blocks; give exactly one with the whole new program")


def _defined(source: str) -> frozenset[str]:
    """Functions that a text defines at its top level."""
    lines = [line for line in source.split("\n") if line.startswith("def ")]
    return frozenset(line[4:].split("(")[0].strip() for line in lines)


def apply_full(source: str, code: str) -> str:
    """The source with its blocks taken from a rewritten program, or from a rewritten block alone."""
    newline = newline_of(source)
    code = code.replace("\r\n", "\n")
    blocks = find_blocks(source)
    if has_markers(code):
        theirs = find_blocks(code)
        parts = outside(code)
        if len(theirs) == len(blocks) and any(part.strip() for part in _without_markers(parts)):
            _refuse_outside_edits(outside(source), parts)
        texts = [block.text(code) for block in theirs]
    elif len(blocks) == 1:
        texts = [_without_surroundings(code, outside(source))]
    else:
        raise PatchError(f"the program has {len(blocks)} EVOLVE-BLOCKs; repeat their marker lines around the new texts")
    if not any(text.strip() for text in texts):
        raise NoCodeError("the new EVOLVE-BLOCK is empty; give its whole text")
    return replace_blocks(source, [text.replace("\n", newline) for text in texts])


def _without_markers(parts: Sequence[str]) -> list[str]:
    return [line for part in parts for line in lines_of(part) if not has_markers(line)]


def _refuse_outside_edits(ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Raises PatchError with the first line outside the blocks that differs (blank lines and line ends aside)."""
    for own, other in zip(ours, theirs, strict=True):
        expected, given = _significant(own), _significant(other)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(expected, given, strict=False)))
        if same < len(given) and not has_markers(given[same]):
            there = f"; the program has {expected[same]!r} there" if same < len(expected) else ""
            raise PatchError(f"line {given[same]!r} lies outside the EVOLVE-BLOCKs, where nothing may change{there}")
        if same < len(expected):
            raise PatchError(f"line {expected[same]!r} outside the EVOLVE-BLOCKs was removed; keep it as it is")


def _significant(part: str) -> list[str]:
    return [line.rstrip() for line in part.split("\n") if line.strip()]


def _without_surroundings(code: str, parts: Sequence[str]) -> str:
    """The block's own text of a program that was rewritten whole but without markers."""
    lines = lines_of(code)
    head = [line for line in _significant(parts[0]) if not has_markers(line)]
    tail = [line for line in _significant(parts[-1]) if not has_markers(line)]
    filled = [index for index, line in enumerate(lines) if line.strip()]
    if head and [lines[index].rstrip() for index in filled[: len(head)]] == head:
        start = filled[len(head) - 1] + 1
        lines, filled = lines[start:], [index - start for index in filled[len(head) :]]
    if tail and [lines[index].rstrip() for index in filled[-len(tail) :]] == tail:
        lines = lines[: filled[-len(tail)]]
    return "".join(lines).strip("\n") + "\n"


def apply_edits(source: str, edits: Sequence[Edit]) -> str:
    """The source after every edit in order; each SEARCH text must stand exactly once inside the blocks."""
    newline = newline_of(source)
    current = source.replace("\r\n", "\n")
    for number, edit in enumerate(edits, start=1):
        current = _apply_edit(current, edit, f"edit {number} of {len(edits)}")
    texts = [block.text(current).replace("\n", newline) for block in find_blocks(current)]
    return replace_blocks(source, texts)


@dataclass(frozen=True)
class _Place:
    """Where a SEARCH text stands: lines ``first`` to ``last`` (exclusive) of a block's text, and the added indent."""

    first: int
    last: int
    indent: str = ""
    outdent: str = ""


def _apply_edit(source: str, edit: Edit, where: str) -> str:
    if not edit.search.strip():
        raise PatchError(f"{where}: the SEARCH text is empty; quote the lines to replace")
    if has_markers(edit.replacement) or has_markers(edit.search):
        raise PatchError(
            f"{where}: EVOLVE-BLOCK marker lines may not be part of an edit; quote only lines between them"
        )
    blocks = find_blocks(source)
    texts = [block.text(source) for block in blocks]
    hits = [(index, place) for index, text in enumerate(texts) for place in _places(text, edit.search)]
    tight = min((_looseness(place) for _, place in hits), default=0)
    hits = [hit for hit in hits if _looseness(hit[1]) == tight]
    if len(hits) > 1:
        lines = ", ".join(str(blocks[index].line + place.first) for index, place in hits)
        raise PatchError(f"{where}: the SEARCH text stands at lines {lines}; quote more lines so that it is unique")
    if hits:
        index, place = hits[0]
        texts[index] = _replaced(texts[index], place, edit.replacement)
        return replace_blocks(source, texts)
    counts = [text.count(edit.search) for text in texts]
    if sum(counts) == 1:
        index = counts.index(1)
        texts[index] = texts[index].replace(edit.search, edit.replacement)
        return replace_blocks(source, texts)
    raise PatchError(f"{where}: {_not_found(source, edit.search, sum(counts))}")


def _looseness(place: _Place) -> int:
    return int(bool(place.indent or place.outdent))


_FORMS: tuple[Callable[[str], str], ...] = (
    lambda line: line,
    lambda line: line.rstrip(),
    lambda line: line.translate(_FOLDED).rstrip(),
)


def _places(text: str, search: str) -> list[_Place]:
    """The places of a SEARCH text, by the strictest comparison that finds any."""
    lines = text.split("\n")
    wanted = search.strip("\n").split("\n")
    while wanted and not wanted[0].strip():
        wanted.pop(0)
    while wanted and not wanted[-1].strip():
        wanted.pop()
    for form in _FORMS:
        have, want = [form(line) for line in lines], [form(line) for line in wanted]
        found = [i for i in range(len(have) - len(want) + 1) if have[i : i + len(want)] == want]
        if found:
            return [_Place(i, i + len(want)) for i in found]
    want = [_FORMS[2](line) for line in wanted]
    shifted = []
    for start in range(len(lines) - len(want) + 1):
        window = [_FORMS[2](line) for line in lines[start : start + len(want)]]
        place = _shift(window, want)
        if place is not None:
            shifted.append(_Place(start, start + len(want), *place))
    return shifted


def _shift(have: Sequence[str], want: Sequence[str]) -> tuple[str, str] | None:
    """The indentation that must be added to (or taken from) every line of ``want`` to give ``have``."""
    pairs = [(one, other) for one, other in zip(have, want, strict=True) if one or other]
    if any(one.lstrip() != other.lstrip() or not one for one, other in pairs):
        return None
    indents = {(one[: len(one) - len(one.lstrip())], other[: len(other) - len(other.lstrip())]) for one, other in pairs}
    added = {one.removesuffix(other) for one, other in indents if one.endswith(other)}
    if len(added) == 1 and all(one.endswith(other) for one, other in indents):
        return added.pop(), ""
    taken = {other.removesuffix(one) for one, other in indents if other.endswith(one)}
    if len(taken) == 1 and all(other.endswith(one) for one, other in indents):
        return "", taken.pop()
    return None


def _replaced(text: str, place: _Place, replacement: str) -> str:
    lines = text.split("\n")
    new = replacement.split("\n") if replacement else []
    if place.indent:
        new = [place.indent + line if line.strip() else line for line in new]
    if place.outdent:
        new = [line.removeprefix(place.outdent) for line in new]
    return "\n".join([*lines[: place.first], *new, *lines[place.last :]])


def _not_found(source: str, search: str, partial: int) -> str:
    """Why a SEARCH text does not apply, with the lines of the program that come nearest."""
    if partial > 1:
        return f"the SEARCH text {_excerpt(search)} stands {partial} times in the program; quote whole lines"
    for part, line in zip(outside(source), _outside_lines(source), strict=True):
        places = _places(part, search)
        if places:
            there = f"line {line + places[0].first} ({_excerpt(search)})"
            return f"{there} lies outside the EVOLVE-BLOCKs, where nothing may change"
    lines = source.split("\n")
    size = len(search.strip("\n").split("\n"))
    span = min(max(size, 1), NEAREST_LINES)
    target = search.strip("\n").split("\n")[:span]
    inside = [i for block in find_blocks(source) for i in _numbers(source, block.start, block.end)]
    best = max(inside, key=lambda i: (_likeness(lines[i : i + span], target), -i), default=0)
    shown = "\n".join(f"{i + 1:4d} | {lines[i]}" for i in range(best, min(best + span, len(lines))))
    return f"the SEARCH text {_excerpt(search)} is not in the program; the nearest lines are\n{shown}"


def _outside_lines(source: str) -> list[int]:
    """The number of the first line of each part outside the blocks."""
    ends = [source.count("\n", 0, block.end) + 1 for block in find_blocks(source)]
    return [1, *ends]


def _numbers(source: str, start: int, end: int) -> range:
    return range(source.count("\n", 0, start), source.count("\n", 0, end))


def _likeness(window: Sequence[str], target: Sequence[str]) -> float:
    pairs = zip(window, target, strict=False)
    short = ((one.strip()[:LINE_CHARACTERS], other.strip()[:LINE_CHARACTERS]) for one, other in pairs)
    return sum(difflib.SequenceMatcher(None, one, other, False).ratio() for one, other in short)


def _excerpt(text: str) -> str:
    line = next((line.strip() for line in text.split("\n") if line.strip()), "")
    return repr(line if len(line) <= 80 else line[:79] + "…")


def check_syntax(source: str) -> None:
    """Raises PatchError with line and text of the first syntax error, and for a text that would break its editors."""
    if _LONG_NAME.search(source):
        raise PatchError(f"a dotted name has more than {MAX_JOINED} parts; write a shorter one")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            text = (error.text or "").strip()[:LINE_CHARACTERS]
            raise PatchError(
                f"the new program is not valid Python: line {error.lineno}: {error.msg}: {text!r}"
            ) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise PatchError(f"the new program is not valid Python: {error or type(error).__name__}") from None
    longest = max((len(node.values) for node in ast.walk(tree) if isinstance(node, ast.BoolOp)), default=0)
    if longest > MAX_JOINED:
        raise PatchError(f"{longest} conditions are joined by and/or, at most {MAX_JOINED} may be; use any() or all()")
