from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import PatchError
from evolve.propose.blocks import find_blocks, newline_of, outside, replace_blocks

START, END = "# EVOLVE-BLOCK-START\n", "# EVOLVE-BLOCK-END\n"


def test_blocks_and_their_surroundings():
    source = f"a\n{START}b\n{END}c\n    {START}    d\n    {END}"
    blocks = find_blocks(source)
    assert [block.text(source) for block in blocks] == ["b\n", "    d\n"]
    assert [block.line for block in blocks] == [3, 7]
    assert outside(source) == (f"a\n{START}", f"{END}c\n    {START}", f"    {END}")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\n", "no EVOLVE-BLOCK"),
        (START + "x\n", "opened at line 1 has no EVOLVE-BLOCK-END"),
        ("x\n" + END, "line 2: EVOLVE-BLOCK-END without"),
        (START + START + END, "line 2: EVOLVE-BLOCK-START inside the block opened at line 1"),
    ],
)
def test_unbalanced_markers(source, words):
    with pytest.raises(PatchError, match=words):
        find_blocks(source)


def test_a_marker_inside_a_new_text_is_refused():
    with pytest.raises(PatchError, match="marker line"):
        replace_blocks(START + END, ["x\n" + END])


def test_the_number_of_texts_must_fit():
    with pytest.raises(PatchError, match="has 1 EVOLVE-BLOCKs, the edit gives 2"):
        replace_blocks(START + END, ["x", "y"])


def test_a_missing_newline_is_added_in_the_program_s_style():
    assert replace_blocks(START + "x\n" + END, ["y"]) == START + "y\n" + END
    windows = (START + "x\n" + END).replace("\n", "\r\n")
    assert newline_of(windows) == "\r\n"
    assert replace_blocks(windows, ["y"]) == (START + "y\n" + END).replace("\n", "\r\n")


texts = st.text(st.characters(codec="utf-8"), max_size=60).filter(lambda text: "EVOLVE" not in text)


@given(texts, texts, texts, texts)
def test_replacing_keeps_every_byte_outside(before, old, new, after):
    source = f"{before}\n{START}{old}\n{END}{after}"
    child = replace_blocks(source, [new])
    assert outside(child) == outside(source)
    assert find_blocks(child)[0].text(child).startswith(new)
    assert replace_blocks(child, [old + "\n"]) == source
