import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.search.digest import normalized, source_digest

PROGRAM = '''
"""A recipe."""
import torch

def merge(site, base, ja):
    """Merged weight."""
    # half of each
    return base + 0.5 * (ja - base)
'''


@pytest.mark.parametrize(
    "other",
    [
        PROGRAM.replace("    # half of each\n", ""),
        PROGRAM.replace("\n", "\n\n"),
        PROGRAM.replace("    ", "\t"),
        PROGRAM.replace("0.5 * (ja - base)", "(0.5*( ja-base ) )  # why not"),
        PROGRAM.replace('    """Merged weight."""\n', ""),
        PROGRAM.replace("\n", "\r\n"),
        PROGRAM.replace("0.5", "5e-1"),
        "# EVOLVE-BLOCK-START\n" + PROGRAM,
    ],
)
def test_layout_comments_and_docstrings_do_not_matter(other: str) -> None:
    assert other != PROGRAM
    assert source_digest(other) == source_digest(PROGRAM)


@pytest.mark.parametrize(
    "other",
    [PROGRAM.replace("0.5", "0.25"), PROGRAM.replace("ja - base", "base - ja"), PROGRAM + "x = '# text'\n"],
)
def test_what_runs_matters(other: str) -> None:
    assert source_digest(other) != source_digest(PROGRAM)


def test_texts_inside_strings_are_kept() -> None:
    assert source_digest("x = '# a'") != source_digest("x = '# b'")
    assert source_digest("x = 'a  b'") != source_digest("x = 'a b'")


def test_a_function_of_only_a_docstring_stays_a_function() -> None:
    assert source_digest('def f():\n    "nothing"') == source_digest("def f(): pass")


def test_what_does_not_parse_keeps_everything_but_white_space() -> None:
    broken = "def merge(:\n  # a\n    return  1\n"
    assert normalized(broken) == "def merge(:\n# a\nreturn 1"
    assert source_digest(broken) == source_digest(broken.replace("\n", "\n\n") + "   ")
    assert source_digest(broken) != source_digest(broken.replace("# a", "# b"))


@pytest.mark.parametrize("source", ["", "\0", "x = '\\d'", "(" * 5000, "1" + "+1" * 20000, "x = '\ud800'", "9" * 10000])
def test_no_text_is_too_strange(source: str) -> None:
    assert len(source_digest(source)) == 64


@given(st.text())
def test_any_text_has_a_digest(source: str) -> None:
    assert source_digest(source) == source_digest(source)
