from __future__ import annotations

import pytest

from evolve.errors import DonorError
from evolve.sources import AdapterSource, AlignedSource, ModelSource, described, parse_sources, place_of, with_place

_ADAPTER = {"adapter": "lora/ja", "on": "base"}
_ALIGNED = {"align": "math", "to": "base"}


def test_entries_become_sources_each_after_what_it_needs():
    sources = parse_sources({"aligned": {"align": "ja", "to": "base"}, "ja": _ADAPTER, "base": "org/base@main"})
    assert list(sources.items()) == [
        ("base", ModelSource("org/base@main")),
        ("ja", AdapterSource("lora/ja", "base")),
        ("aligned", AlignedSource("ja", "base")),
    ]


def test_entries_in_words():
    assert [described(entry) for entry in ("org/base", _ADAPTER, _ALIGNED)] == [
        "org/base",
        "adapter lora/ja on base",
        "math aligned to base",
    ]
    assert [place_of(entry) for entry in ("org/base", _ADAPTER, _ALIGNED)] == ["org/base", "lora/ja", None]
    assert [with_place(entry, "here") for entry in ("org/base", _ADAPTER, _ALIGNED)] == [
        "here",
        {"adapter": "here", "on": "base"},
        "here",
    ]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"ja": {"adapter": "x"}}, "donor 'ja' has the keys adapter; it must be a folder or hub id, { adapter ="),
        ({"ja": {**_ADAPTER, "scale": "2"}}, "donor 'ja' has the keys adapter, on, scale; it must be"),
        ({"ja": {}}, "donor 'ja' has the keys none; it must be"),
        ({"ja": {"adapter": 3, "on": "base"}}, "donor 'ja' must be a folder or hub id"),
        ({"ja": 5}, "donor 'ja' must be a folder or hub id, .* not 5"),
        ({"base": "b", "ja": {"adapter": "x", "on": "bass"}}, "needs a donor 'bass'; did you mean 'base'"),
        (
            {"base": "b", "x": _ALIGNED},
            r"donor 'x' \(math aligned to base\) needs a donor 'math'; the donors are base, x",
        ),
        ({"ja": {"adapter": "x", "on": "ja"}}, "is made from itself; name another donor"),
        (
            {"a": {"adapter": "x", "on": "b"}, "b": {"align": "a", "to": "c"}, "c": "c"},
            "is made from itself; name another donor",
        ),
    ],
)
def test_wrong_entries_are_explained(entries, said):
    with pytest.raises(DonorError, match=said) as caught:
        parse_sources(entries)
    assert "\n" not in str(caught.value)
