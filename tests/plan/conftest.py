"""Small plan documents that tests change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from evolve.site import Site

DOCUMENT: dict[str, Any] = {
    "version": 2,
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
        {"name": "a", "shape": [2, 3], "template": 0, "values": [0.5], "gathers": []},
        {"name": "b", "shape": [4], "template": 0, "values": [0.25], "gathers": []},
    ],
    "stack": None,
}
# The mean of two donors, scaled at "a" by a norm over both sites and at "b" by a statistic.
WITH_TOTALS: dict[str, Any] = {
    "version": 2,
    "donors": ["base", "ja"],
    "templates": [
        {
            "nodes": [
                ["donor", [], {"name": "base"}],
                ["total", [], {"name": "squares"}],
                ["sqrt", [1], {}],
                ["mul", [0, 2], {}],
            ],
            "output": 3,
        },
        {
            "nodes": [
                ["donor", [], {"name": "base"}],
                ["statistic", [], {"donor": "ja", "name": "fisher", "shape": None}],
                ["mul", [0, 1], {}],
            ],
            "output": 2,
        },
        {
            "nodes": [
                ["donor", [], {"name": "base"}],
                ["value", [], {"slot": 0}],
                ["mul", [0, 1], {}],
                ["square", [2], {}],
                ["sum", [3], {"dims": None, "keepdim": False}],
            ],
            "output": 4,
        },
    ],
    "sites": [
        {
            "name": "a",
            "shape": [2, 3],
            "template": 0,
            "values": [],
            "gathers": [{"name": "squares", "template": 2, "values": [2.0]}],
        },
        {
            "name": "b",
            "shape": [4],
            "template": 1,
            "values": [],
            "gathers": [{"name": "squares", "template": 2, "values": [0.5]}],
        },
    ],
    "stack": None,
}
SITES = [Site("a", 0, 0.0, "q_proj", "attention", (2, 3)), Site("b", 1, 1.0, "input_norm", "norm", (4,))]


@pytest.fixture(scope="session")
def documents() -> dict[str, dict[str, Any]]:
    """Both documents, not to be changed."""
    return {"plain": DOCUMENT, "totals": WITH_TOTALS}


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(DOCUMENT)


@pytest.fixture
def with_totals() -> dict[str, Any]:
    """A document whose first site reads a total that both gather, and whose second reads fisher of ja."""
    return copy.deepcopy(WITH_TOTALS)


@pytest.fixture
def sites() -> list[Site]:
    return SITES
