"""EVOLVE-BLOCKs: the parts of a program that may change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evolve.errors import PatchError

_START = re.compile(r"[ \t]*#[ \t]*EVOLVE-BLOCK-START\b")
_END = re.compile(r"[ \t]*#[ \t]*EVOLVE-BLOCK-END\b")


@dataclass(frozen=True)
class Block:
    """The text between two marker lines: ``source[start:end]``, whose first line has number ``line`` (from 1)."""

    start: int
    end: int
    line: int

    def text(self, source: str) -> str:
        return source[self.start : self.end]


def lines_of(text: str) -> list[str]:
    """Lines with their ends, split at newlines only (a form feed or U+2028 is part of a line, as it is for Python)."""
    lines = text.split("\n")
    kept = [line + "\n" for line in lines[:-1]]
    return [*kept, lines[-1]] if lines[-1] else kept


def has_markers(text: str) -> bool:
    """Whether any line is a marker."""
    return any(_START.match(line) or _END.match(line) for line in lines_of(text))


def find_blocks(source: str) -> tuple[Block, ...]:
    """The blocks of a program in order; raises PatchError when markers are missing, nested or unbalanced."""
    found: list[Block] = []
    opened: tuple[int, int] | None = None
    offset = 0
    for number, line in enumerate(lines_of(source), start=1):
        if _START.match(line):
            if opened is not None:
                raise PatchError(f"line {number}: EVOLVE-BLOCK-START inside the block opened at line {opened[1] - 1}")
            opened = (offset + len(line), number + 1)
        elif _END.match(line):
            if opened is None:
                raise PatchError(f"line {number}: EVOLVE-BLOCK-END without EVOLVE-BLOCK-START")
            found.append(Block(opened[0], offset, opened[1]))
            opened = None
        offset += len(line)
    if opened is not None:
        raise PatchError(f"the EVOLVE-BLOCK opened at line {opened[1] - 1} has no EVOLVE-BLOCK-END line")
    if not found:
        raise PatchError(
            "the program has no EVOLVE-BLOCK; put '# EVOLVE-BLOCK-START' and '# EVOLVE-BLOCK-END' lines around the "
            "part that may change"
        )
    return tuple(found)


def replace_blocks(source: str, texts: Sequence[str]) -> str:
    """The source with the text of each block exchanged, everything else byte for byte the same.

    ``texts`` holds one text per block; a missing last newline is added, marker lines inside a text raise PatchError.
    """
    blocks = find_blocks(source)
    if len(texts) != len(blocks):
        raise PatchError(f"the program has {len(blocks)} EVOLVE-BLOCKs, the edit gives {len(texts)}; give each of them")
    newline = newline_of(source)
    parts: list[str] = []
    position = 0
    for block, text in zip(blocks, texts, strict=True):
        if has_markers(text):
            raise PatchError("the new text holds an EVOLVE-BLOCK marker line of its own; leave the markers as they are")
        if text and not text.endswith("\n"):
            text += newline
        parts += [source[position : block.start], text]
        position = block.end
    return "".join([*parts, source[position:]])


def outside(source: str) -> tuple[str, ...]:
    """The text outside the blocks (marker lines included), in order: one part more than there are blocks."""
    parts: list[str] = []
    position = 0
    for block in find_blocks(source):
        parts.append(source[position : block.start])
        position = block.end
    return (*parts, source[position:])


def newline_of(source: str) -> str:
    """The program's line end: CRLF when its first line ends so, else LF."""
    first = source.find("\n")
    return "\r\n" if first > 0 and source[first - 1] == "\r" else "\n"


def line_of(source: str, offset: int) -> int:
    """The number (from 1) of the line that holds the character at ``offset``."""
    return source.count("\n", 0, offset) + 1
