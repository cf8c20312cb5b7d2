from __future__ import annotations

import pytest

from evolve.errors import ProblemError
from evolve.evaluate.splits import Splits


def test_items_are_fresh_copies_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "search.jsonl"
    path.write_text('{"q": 1, "a": [2]}\n\n{"q": "は"}\n', encoding="utf-8")
    splits = Splits({"search": path})
    splits.items("search")[0]["a"].append(3)
    assert splits.items("search") == [{"q": 1, "a": [2]}, {"q": "は"}]
    assert splits.counts() == {"search": 2}


def test_the_sealed_split_is_not_opened_before_it_is_asked_for(tmp_path):
    sealed = tmp_path / "test.jsonl"
    sealed.write_text("not read yet")
    splits = Splits({"test": sealed})
    assert splits.counts() == {"test": None}
    sealed.write_text('{"q": 1}\n')
    assert splits.items("test") == [{"q": 1}]


def test_a_problem_without_splits_has_an_empty_search_split():
    assert Splits({}).items("search") == []
    with pytest.raises(ProblemError, match="the problem has no split 'validation'; its splits: none"):
        Splits({}).items("validation")


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"q": 1}\n{', "line 2: no JSON"), ("[1]", "line 1: list in place of an object"), ("\n", "holds no items")],
)
def test_unusable_files_name_the_line(tmp_path, text, message):
    path = tmp_path / "search.jsonl"
    path.write_text(text)
    with pytest.raises(ProblemError, match=message):
        Splits({"search": path}).items("search")
    with pytest.raises(ProblemError, match="the file of split 'search' is missing: .*nowhere"):
        Splits({"search": tmp_path / "nowhere"})
