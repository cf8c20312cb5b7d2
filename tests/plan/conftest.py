"""A small plan document that tests change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from evolve.site import Site

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "donors": ["base", "ja"],
    "templates": [
        {
            "nodes": [
                ["donor", [], {"name": "base"}],
                ["donor", [], {"name": "ja"}],
                ["sub", [1, 0], {}],
                ["value", [], {"slot": 0}],
                ["mul", [2, 3], {}],
                ["add", [0, 4], {}],
            ],
            "output": 5,
        }
    ],
    "sites": [
        {"name": "a", "shape": [2, 3], "template": 0, "values": [0.5]},
        {"name": "b", "shape": [4], "template": 0, "values": [0.25]},
    ],
    "stack": None,
}
SITES = [Site("a", 0, 0.0, "q_proj", "attention", (2, 3)), Site("b", 1, 1.0, "input_norm", "norm", (4,))]


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(DOCUMENT)


@pytest.fixture
def sites() -> list[Site]:
    return SITES
