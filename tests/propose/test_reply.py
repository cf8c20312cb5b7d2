from __future__ import annotations

import pytest

from evolve.errors import PatchError
from evolve.propose.reply import Edit, code_blocks, description_of, edits_of, has_edits, normalised


def block(search, replacement):
    return f"<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE"


def test_edits_in_order_with_prose_between():
    reply = f"Idea: two\n{block('a', 'b')}\nand\n{block('c', '')}\ndone"
    assert edits_of(reply) == [Edit("a", "b"), Edit("c", "")]


def test_fences_around_and_inside_edits_are_dropped():
    assert edits_of(f"```diff\n{block('a', 'b')}\n```") == [Edit("a", "b")]
    assert edits_of(block("```python\na\n```", "```python\nb\n```")) == [Edit("a", "b")]


def test_an_empty_replacement_deletes():
    assert edits_of("<<<<<<< SEARCH\na\n=======\n>>>>>>> REPLACE") == [Edit("a", "")]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("<<<<<<< SEARCH\na", "'=======' line is missing"),
        ("<<<<<<< SEARCH\na\n=======\nb", "'>>>>>>> REPLACE' line is missing"),
        ("<<<<<<< SEARCH\na\n>>>>>>> REPLACE", "no '=======' line before REPLACE"),
        ("a\n>>>>>>> REPLACE", "without '<<<<<<< SEARCH'"),
        ("<<<<<<< SEARCH\na\n<<<<<<< SEARCH", "opens inside another"),
        ("<<<<<<< SEARCH\na\n=======\nb\n=======\nc\n>>>>>>> REPLACE", "two '=======' lines"),
    ],
)
def test_broken_edits(reply, words):
    with pytest.raises(PatchError, match=words):
        edits_of(reply)


def test_code_blocks_by_language():
    reply = "```python\na\n```\n```json\n{}\n```\n```\nb\n```\n````py\nc\n```\nd\n````\n~~~\ne\n~~~\n```text\nno\n```"
    assert code_blocks(reply) == ["a\n", "b\n", "c\n```\nd\n", "e\n"]


def test_an_unclosed_fence_runs_to_the_end():
    assert code_blocks("text\n```python\na\nb") == ["a\nb\n"]


def test_hidden_reasoning_and_line_ends_go():
    reply = "\ufeff<think>```python\nno\n```</think>\r\n```python\r\nyes\r\n```"
    assert code_blocks(normalised(reply)) == ["yes\n"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("**Idea:** less mathematics late\n```python\nx\n```", "less mathematics late"),
        ("Some thoughts.\nDescription: more Japanese", "more Japanese"),
        ("Swap the layers\nbecause", "Swap the layers"),
        ("```python\nIdea: no\n```", ""),
        ("<<<<<<< SEARCH\nIdea: no\n=======\n>>>>>>> REPLACE", ""),
        ("Idea: a\x1b[31mb", "a[31mb"),
    ],
)
def test_description(reply, expected):
    assert description_of(reply) == expected


def test_description_is_bounded():
    assert len(description_of("Idea: " + "x" * 1000)) == 200


def test_has_edits():
    assert has_edits("x\n<<<<<<< SEARCH\n") and not has_edits("if a <<<<<<< SEARCHED")
