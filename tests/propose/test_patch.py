from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.errors import NoCodeError, PatchError, ProposalError
from evolve.propose.blocks import find_blocks, outside
from evolve.propose.patch import apply_reply

SOURCE = """import math

LIMIT = 3
# EVOLVE-BLOCK-START
low = 0.5
high = 1.5


def f(x):
    if x > low:
        y = x * high
        return y
    return x
# EVOLVE-BLOCK-END
def g():
    return f(LIMIT)
"""


def edit(search, replacement):
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE"


def test_an_edit():
    child = apply_reply(SOURCE, "Idea: lower\n" + edit("low = 0.5", "low = 0.25"), "diff")
    assert child == SOURCE.replace("low = 0.5", "low = 0.25")


def test_edits_build_on_each_other():
    reply = edit("low = 0.5", "middle = 0.5") + "\n" + edit("middle = 0.5", "low = 0.7")
    assert apply_reply(SOURCE, reply, "diff") == SOURCE.replace("low = 0.5", "low = 0.7")


@pytest.mark.parametrize(
    "search",
    ["high = 1.5   ", "\nhigh = 1.5\n", "high = 1.5\r", "high = 1.5"],
)
def test_white_space_is_forgiven(search):
    assert "high = 2" in apply_reply(SOURCE, edit(search, "high = 2"), "diff")


def test_another_indentation_is_forgiven():
    child = apply_reply(SOURCE, edit("y = x * high\nreturn y", "y = x + high\nreturn y"), "diff")
    assert "        y = x + high\n        return y\n" in child
    child = apply_reply(
        SOURCE, edit("            y = x * high\n            return y", "            return high"), "diff"
    )
    assert "        return high\n" in child


def test_typographic_quotes_are_forgiven():
    source = SOURCE.replace("low = 0.5", "low = 'a'")
    assert "low = 'b'" in apply_reply(source, edit("low = ‘a’", "low = 'b'"), "diff")


def test_part_of_a_line():
    assert "high = 1.75" in apply_reply(SOURCE, edit("gh = 1.5", "gh = 1.75"), "diff")


def test_deleting_lines():
    assert "y = " not in apply_reply(SOURCE, edit("        y = x * high\n        return y", "        return x"), "diff")


def test_a_missing_search_text_shows_the_nearest_lines():
    with pytest.raises(PatchError) as caught:
        apply_reply(SOURCE, edit("    if x >= low:\n        y = x * hig", "pass"), "diff")
    assert "is not in the program" in str(caught.value)
    assert "10 |     if x > low:" in str(caught.value)
    assert "11 |         y = x * high" in str(caught.value)


def test_an_ambiguous_search_text_names_its_lines():
    source = SOURCE.replace("    return x\n", "        return y\n    return x\n")
    with pytest.raises(PatchError, match="stands at lines 12, 13"):
        apply_reply(source, edit("        return y", "        return x"), "diff")


def test_an_edit_outside_names_the_line():
    with pytest.raises(PatchError, match=r"line 3 \('LIMIT = 3'\) lies outside the EVOLVE-BLOCKs"):
        apply_reply(SOURCE, edit("LIMIT = 3", "LIMIT = 4"), "diff")
    with pytest.raises(PatchError, match=r"line 16 \('return f\(LIMIT\)'\) lies outside"):
        apply_reply(SOURCE, edit("    return f(LIMIT)", "    return 1"), "diff")


def test_marker_lines_may_not_be_edited():
    with pytest.raises(PatchError, match="marker lines"):
        apply_reply(SOURCE, edit("# EVOLVE-BLOCK-START\nlow = 0.5", "low = 1"), "diff")


def test_an_empty_search_text():
    with pytest.raises(PatchError, match="SEARCH text is empty"):
        apply_reply(SOURCE, edit("", "x = 1"), "diff")


def test_a_change_of_nothing_is_refused():
    with pytest.raises(PatchError, match="changes nothing"):
        apply_reply(SOURCE, edit("low = 0.5", "low = 0.5"), "diff")
    with pytest.raises(PatchError, match="changes nothing"):
        apply_reply(SOURCE, f"```python\n{SOURCE}```", "full")


def test_broken_python_names_the_line():
    with pytest.raises(PatchError, match=r"not valid Python: line 5: .*'low = = 3'"):
        apply_reply(SOURCE, edit("low = 0.5", "low = = 3"), "diff")


def test_windows_line_ends_are_kept():
    source = SOURCE.replace("\n", "\r\n")
    child = apply_reply(source, edit("low = 0.5\nhigh = 1.5", "low = 1\nhigh = 2"), "diff")
    assert child == source.replace("low = 0.5\r\nhigh = 1.5", "low = 1\r\nhigh = 2")
    assert (
        apply_reply(source, "```python\ndef f(x):\n    return x\n```", "full").count("\r\n") == source.count("\r\n") - 7
    )


def test_a_whole_program():
    new = SOURCE.replace("low = 0.5", "low = 0.9")
    assert apply_reply(SOURCE, f"Idea: x\n```python\n{new}```\nThat is all.", "full") == new


def test_a_whole_program_without_its_markers():
    new = SOURCE.replace("low = 0.5", "low = 0.9")
    bare = "".join(line + "\n" for line in new.splitlines() if "EVOLVE" not in line)
    assert apply_reply(SOURCE, f"```python\n{bare}```", "full") == new


def test_the_block_alone():
    text = "def f(x):\n    return x + 1\n"
    child = apply_reply(SOURCE, f"```python\n{text}```", "full")
    assert find_blocks(child)[0].text(child) == text
    marked = f"# EVOLVE-BLOCK-START\n{text}# EVOLVE-BLOCK-END\n"
    assert apply_reply(SOURCE, f"```python\n{marked}```", "cross") == child
    assert apply_reply(SOURCE, marked, "full") == child, "code without a fence, but with markers"


def test_a_whole_program_may_not_change_the_rest():
    with pytest.raises(PatchError, match=r"line 'LIMIT = 4' lies outside .* has 'LIMIT = 3' there"):
        apply_reply(SOURCE, f"```python\n{SOURCE.replace('LIMIT = 3', 'LIMIT = 4').replace('0.5', '0.6')}```", "full")
    with pytest.raises(PatchError, match="'LIMIT = 3' outside the EVOLVE-BLOCKs was removed"):
        apply_reply(SOURCE, f"```python\n{SOURCE.replace('LIMIT = 3', '').replace('0.5', '0.6')}```", "full")


def test_several_code_fences():
    text = "def f(x):\n    return x + 1"
    quoted = f"Before:\n```python\nlow = 0.5\n```\nAfter:\n```python\n{text}\n```"
    assert text in apply_reply(SOURCE, quoted, "full"), "only one of them defines f"
    with pytest.raises(PatchError, match="2 code blocks"):
        apply_reply(SOURCE, f"```python\n{text}\n```\n```python\n{text}  # or\n```", "full")
    with pytest.raises(PatchError, match="2 code blocks"):
        apply_reply(SOURCE, "```python\nlow = 1\n```\n```python\nlow = 2\n```", "full")


def test_edits_count_even_where_a_program_was_asked_for():
    assert "low = 9" in apply_reply(SOURCE, edit("low = 0.5", "low = 9"), "full")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("", "reply is empty"),
        ("  \r\n ", "reply is empty"),
        ("I would rather not.", "holds no code"),
        ("```python\n```", "holds no code"),
        ("```python\n# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n```", "is empty"),
    ],
)
def test_no_code(reply, words):
    with pytest.raises(NoCodeError, match=words):
        apply_reply(SOURCE, reply, "full")


def test_two_blocks_need_markers():
    source = SOURCE + "# EVOLVE-BLOCK-START\nz = 1\n# EVOLVE-BLOCK-END\n"
    with pytest.raises(PatchError, match="has 2 EVOLVE-BLOCKs; repeat their marker lines"):
        apply_reply(source, "```python\nz = 2\n```", "full")
    assert "z = 2" in apply_reply(source, edit("z = 1", "z = 2"), "diff")


def test_an_enormous_program_is_refused():
    with pytest.raises(PatchError, match="larger than 400000 bytes"):
        apply_reply(SOURCE, f"```python\nlow = '{'x' * 400_001}'\n```", "full")


line = st.sampled_from(
    [
        "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "```python", "```", "~~~", "# EVOLVE-BLOCK-START",
        "# EVOLVE-BLOCK-END", "<think>", "</think>", "Idea: x", "", "\r", "\x00", "\u2028", "‘’“”",
        *SOURCE.split("\n"),
    ]
) | st.text(max_size=30)  # fmt: skip
replies = st.lists(line, max_size=30).map("\n".join)


@settings(max_examples=400, deadline=None)
@given(
    replies, st.sampled_from(["diff", "full", "cross", "fix"]), st.sampled_from([SOURCE, SOURCE.replace("\n", "\r\n")])
)
def test_any_reply_gives_a_sound_child_or_a_proposal_error(reply, patch, source):
    try:
        child = apply_reply(source, reply, patch)
    except ProposalError:
        return
    assert outside(child) == outside(source)
    assert child != source
    ast.parse(child)


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text())
def test_any_edit_gives_a_sound_child_or_a_proposal_error(search, replacement):
    try:
        child = apply_reply(SOURCE, edit(search, replacement), "diff")
    except ProposalError:
        return
    assert outside(child) == outside(SOURCE)
