"""The parts of a language model's reply: its idea, its fenced code, its SEARCH/REPLACE edits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evolve.errors import PatchError

_SEARCH = re.compile(r"[ \t]*<{5,9}[ \t]*SEARCH\b.*", re.IGNORECASE)
_DIVIDER = re.compile(r"[ \t]*={5,9}[ \t]*")
_REPLACE = re.compile(r"[ \t]*>{5,9}[ \t]*REPLACE\b.*", re.IGNORECASE)
# possessive: a reply is an enemy's text, and no line of it may cost more than one pass
_FENCE = re.compile(r"[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([^`\s]*+)[^`]*+")
_IDEA = re.compile(r"[\s*#>_]*(?:idea|description|name|summary)[*_ \t]*:[*_ \t]*(.+)", re.IGNORECASE)
_THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_CODE_LANGUAGES = frozenset({"", "python", "py", "python3"})
MAX_DESCRIPTION = 200


@dataclass(frozen=True)
class Edit:
    """One SEARCH/REPLACE block; texts are lines joined by LF, without a last newline."""

    search: str
    replacement: str


def normalised(reply: str) -> str:
    """The reply with LF line ends, without hidden reasoning and without a byte-order mark."""
    text = reply.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    # only where an end follows: each of a thousand beginnings without one would be searched to the end of the text
    end = max((found.end() for found in _THOUGHT.finditer(text)), default=0)
    return _THINKING.sub("", text[:end]) + text[end:]


def has_edits(reply: str) -> bool:
    """Whether any line opens a SEARCH block."""
    return any(_SEARCH.fullmatch(line) for line in reply.split("\n"))


def edits_of(reply: str) -> list[Edit]:
    """The SEARCH/REPLACE blocks in order; raises PatchError for a block that is cut off or out of order."""
    found: list[Edit] = []
    search: list[str] | None = None
    replacement: list[str] | None = None
    for number, line in enumerate(reply.split("\n"), start=1):
        if _SEARCH.fullmatch(line):
            if search is not None:
                raise PatchError(
                    f"reply line {number}: a SEARCH block opens inside another; close it with '>>>>>>> REPLACE'"
                )
            search = []
        elif search is None:
            if _REPLACE.fullmatch(line):
                raise PatchError(f"reply line {number}: '>>>>>>> REPLACE' without '<<<<<<< SEARCH'")
        elif replacement is None:
            if _DIVIDER.fullmatch(line):
                replacement = []
            elif _REPLACE.fullmatch(line):
                raise PatchError(f"reply line {number}: the SEARCH block has no '=======' line before REPLACE")
            else:
                search.append(line)
        elif _REPLACE.fullmatch(line):
            found.append(Edit("\n".join(_unfenced(search)), "\n".join(_unfenced(replacement))))
            search = replacement = None
        elif _DIVIDER.fullmatch(line):
            raise PatchError(f"reply line {number}: the SEARCH block has two '=======' lines")
        else:
            replacement.append(line)
    if search is not None:
        missing = "'======='" if replacement is None else "'>>>>>>> REPLACE'"
        raise PatchError(f"the last SEARCH block is cut off: its {missing} line is missing")
    return found


def _unfenced(lines: list[str]) -> list[str]:
    """The lines without a code fence that wraps all of them."""
    filled = [index for index, line in enumerate(lines) if line.strip()]
    if len(filled) >= 2 and _FENCE.fullmatch(lines[filled[0]]) and lines[filled[-1]].strip() in ("```", "~~~"):
        return lines[filled[0] + 1 : filled[-1]]
    return lines


def code_blocks(reply: str) -> list[str]:
    """The contents of fenced Python (or unlabelled) blocks in order; a fence that never closes runs to the end."""
    found: list[tuple[str, list[str]]] = []
    fence: str | None = None
    for line in reply.split("\n"):
        match = _FENCE.fullmatch(line)
        if fence is None and match is not None:
            fence = match.group(1)
            found.append((match.group(2).lower(), []))
        elif fence is not None and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = None
        elif fence is not None:
            found[-1][1].append(line)
    return ["\n".join(lines) + "\n" for language, lines in found if language in _CODE_LANGUAGES and any(lines)]


def description_of(reply: str) -> str:
    """The line ``Idea: ...``, else the first line of prose, shortened; empty where the reply has neither."""
    prose = _prose(reply)
    for line in prose:
        match = _IDEA.fullmatch(line)
        if match is not None:
            return _short(match.group(1))
    return _short(prose[0]) if prose else ""


def _prose(reply: str) -> list[str]:
    lines: list[str] = []
    fence: str | None = None
    for line in reply.split("\n"):
        match = _FENCE.fullmatch(line)
        if _SEARCH.fullmatch(line):
            break
        if match is not None:
            fence = None if fence is not None else match.group(1)
        elif fence is None and line.strip():
            lines.append(line)
    return lines


def _short(text: str) -> str:
    return one_line(text.strip(" *_#`"), MAX_DESCRIPTION)


def one_line(text: str, limit: int) -> str:
    """The text on one line, without characters that cannot be printed, cut to ``limit`` characters."""
    text = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return text if len(text) <= limit else text[: limit - 1] + "…"
