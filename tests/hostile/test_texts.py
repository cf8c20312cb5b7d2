"""Texts that are read outside the sandbox, in the process of the run: none may stall it or end it."""

from __future__ import annotations

import json
import time

import pytest

from evolve.errors import NoCodeError, PatchError, SandboxCrash
from evolve.propose.mutator.offline import parse_block
from evolve.propose.patch import MAX_JOINED, apply_reply, check_syntax
from evolve.propose.reply import code_blocks, description_of, normalised
from evolve.recipe.knobs import read_knobs
from evolve.sandbox.wire import FrameReader, clean_lines
from evolve.ui.table import printable_lines, render

LINES = "".join(f"def f{i}(x): return (x - one) * (two + three) / seven - {i}\n" for i in range(60))
SOURCE = f"# EVOLVE-BLOCK-START\n{LINES}# EVOLVE-BLOCK-END\n"


def seconds(act):
    began = time.process_time()
    act()
    return time.process_time() - began


@pytest.mark.parametrize(
    "text", [b'{"reply":"' + b'\\"' * 500_000, b'"' * 999_999, b'{"a":"' + b"\\" * 999_999, b'{"\\' * 300_000]
)
def test_replies_made_of_quotation_marks_are_read_in_one_pass(text):
    reader = FrameReader()
    reader.feed(len(text).to_bytes(8, "big") + bytes(8) + text)

    def read():
        with pytest.raises(SandboxCrash):
            reader.message()

    assert seconds(read) < 2


@pytest.mark.parametrize(
    "line",
    [
        "~" * 50_000 + "`",
        "~~~" + " " * 50_000 + "`",
        "~~~" + "a" * 50_000 + "`",
        "`" * 50_000 + " `",
        " " * 50_000 + "`",
    ],
    ids=["tildes", "spaces", "letters", "backticks", "indent"],
)
def test_lines_that_look_like_fences_are_read_in_one_pass(line):
    assert seconds(lambda: (code_blocks(line), description_of(line))) < 2


def test_thoughts_without_an_end_are_read_in_one_pass():
    assert seconds(lambda: normalised("<think>" * 50_000)) < 2
    assert normalised("<think>a</think>b<think>c</thinking>d<think>e") == "bd<think>e"


@pytest.mark.parametrize("quoted", ["e e(x)" * 20_000, "(" * 100_000])
def test_a_long_quotation_that_is_nowhere_is_refused_at_once(quoted):
    reply = f"<<<<<<< SEARCH\n{quoted}\n=======\npass\n>>>>>>> REPLACE\n"

    def apply():
        with pytest.raises(PatchError, match="not in the program") as caught:
            apply_reply(SOURCE, reply, "diff")
        assert len(str(caught.value)) < 2000

    assert seconds(apply) < 3


ENORMOUS = {
    "conditions": "x = 1" + " and 1" * 60_000,
    "dotted import": "import a" + ".a" * 60_000,
    "dotted import in lines": "import a" + ". \\\n a" * 30_000,
    "attributes": "x = a" + ".a" * 60_000,
    "signs": "x = " + "-" * 100_000 + "1",
    "negations": "x = " + "not " * 60_000 + "1",
    "calls": "x = f" + "()" * 60_000,
    "brackets": "x = " + "[" * 60_000,
    "functions": "x = " + "lambda: " * 30_000 + "1",
    "branches": "if 1:\n pass\n" + "elif 1:\n pass\n" * 20_000,
    "null": "x = 1\0",
}


@pytest.mark.parametrize("name", ENORMOUS)
def test_programs_that_break_what_edits_them_are_refused(name):
    def check():
        with pytest.raises(PatchError) as caught:
            check_syntax(ENORMOUS[name])
        assert len(str(caught.value)) < 2000

    assert seconds(check) < 5


def test_the_largest_allowed_texts_do_not_break_the_editor():
    joined = "x = 1" + " and 1" * (MAX_JOINED - 1) + "\n"
    dotted = "x = a" + ".a" * 150 + "\n"
    for text in (joined, dotted):
        check_syntax(text)
        assert parse_block(text) is not None


def test_a_reply_of_nothing_but_markers_is_no_program():
    with pytest.raises((NoCodeError, PatchError)):
        apply_reply(SOURCE, "# EVOLVE-BLOCK-START\n" * 10_000, "full")


GOOD = {"name": "a", "value": 0.5, "low": 0.0, "high": 1.0}


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [None],
        [[]],
        [{**GOOD, "more": 1}],
        [{**GOOD, "name": ""}],
        [{**GOOD, "name": 3}],
        [{**GOOD, "name": "n" * 10_000}],
        [{**GOOD, "value": float("nan")}],
        [{**GOOD, "value": 2.0}],
        [{**GOOD, "value": True}],
        [{**GOOD, "value": {"a": 1}}],
        [{**GOOD, "value": [0.5, [0.5]]}],
        [{**GOOD, "high": float("inf")}],
        [{**GOOD, "low": "0"}],
        [GOOD] * 20_000,
    ],
)
def test_knobs_that_are_none_are_a_crash(data):
    with pytest.raises(SandboxCrash, match="not knobs"):
        read_knobs(data)


def test_knobs_are_read_as_they_were_written():
    wide = {**GOOD, "value": [0.5, 0.25]}
    assert [knob.to_dict() for knob in read_knobs([GOOD, wide])] == [GOOD, wide]


def test_several_lines_keep_their_indent_but_nothing_else():
    text = "first\x1b[31m red\n    indented\x07\ttab \x9b5m\n\x1b]0;owned\x07last  \n" + "x\n" * 100
    found = clean_lines(text, lines=3)
    assert found == "first red\n    indented    tab\nlast"
    assert len(clean_lines("y" * 10**6)) <= 2000


@pytest.mark.parametrize("form", ["table", "json"])
def test_tables_and_json_do_not_drive_the_terminal(form):
    rows = [{"name": "a\x1b[31m\x9b5m\x7fb\x07"}]
    text = render(rows, ("name",), form)
    assert not [character for character in text if not character.isprintable() and character != "\n"]
    assert form == "table" or json.loads(text) == rows


def test_a_programs_text_is_printed_line_by_line_without_control_characters():
    assert printable_lines("def f():\n\treturn 1  # \x1b[2J\r\n") == "def f():\n        return 1  #  [2J \n"
