from __future__ import annotations

from pathlib import Path

import pytest

from evolve.errors import UsageError
from evolve.loop.standalone import named_donors

PATH = Path("recipe.py")


def test_the_constant_is_read_and_options_go_over_it():
    source = 'import evil\n\nDONORS: dict[str, str] = {"a": "x", "b": "org/y"}\nraise SystemExit\n'
    assert named_donors(source, PATH, {}) == {"a": "x", "b": "org/y"}
    assert named_donors(source, PATH, {"b": "z", "c": "w"}) == {"a": "x", "b": "z", "c": "w"}
    assert named_donors("", PATH, {"a": "x"}) == {"a": "x"}


def test_an_adapter_keeps_its_model_when_its_place_is_given():
    source = 'DONORS = {"base": "x", "lora": {"adapter": "y", "on": "base"}}'
    assert named_donors(source, PATH, {"lora": "z"})["lora"] == {"adapter": "z", "on": "base"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", r"recipe\.py names no donors; add DONORS = "),
        ("\nDONORS = dict(a='x')", r"recipe\.py line 2: DONORS must be written out"),
        ("DONORS = {'a': open('x')}", r"line 1: DONORS must be written out"),
        ("DONORS = {'a': {'adapter': 1}}", r"line 1: DONORS must be written out"),
        ("DONORS = {'a': 1}", r"line 1: DONORS must be written out"),
        ("DONORS = ['a']", r"line 1: DONORS must be written out"),
        ("x = (", r"recipe\.py line 1: no Python program"),
        ("x\0", r"recipe\.py.*: no Python program"),
    ],
)
def test_what_names_no_donors_is_one_line(source, said):
    with pytest.raises(UsageError, match=said) as caught:
        named_donors(source, PATH, {})
    assert "\n" not in str(caught.value)
