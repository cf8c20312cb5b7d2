from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

from evolve.errors import UsageError
from evolve.propose.base import PATCHES, Proposal
from evolve.propose.ensemble import Arm, Ensemble, parse_spec


class Fixed:
    patches = PATCHES

    def __init__(self, name="fixed"):
        self.name = name

    async def propose(self, request):
        return Proposal(request.parent.source, "same", "full", self.name)


def test_spec():
    spec = "offline:1, openai/gpt-5-mini:2,ollama/llama3:8b,ollama/llama3:8b-q4:0.5"
    weights = {"offline": 1.0, "openai/gpt-5-mini": 2.0, "ollama/llama3:8b": 1.0, "ollama/llama3:8b-q4": 0.5}
    assert parse_spec(spec) == weights


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "has no name"),
        ("offline,,a/b", "has no name"),
        ("offline:0", "positive number, not 0"),
        ("offline:-2", "positive number"),
        ("offline:nan", "positive number"),
        ("offline:1,offline:2", "named twice"),
    ],
)
def test_wrong_specs(spec, words):
    with pytest.raises(UsageError, match=words):
        parse_spec(spec)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'offline'"):
        Ensemble.parse("ofline")
    with pytest.raises(UsageError, match="did you mean 'timeout_s'"):
        Ensemble.parse("own", {"own": {"timeout": 1}})


def test_models_and_offline():
    ensemble = Ensemble.parse("offline:3,openai/gpt-5-mini", {"openai/gpt-5-mini": {"temperature": 1.0}})
    assert ensemble.names == ("offline", "openai/gpt-5-mini")
    assert not ensemble.offline_only
    assert Ensemble.parse("offline").offline_only
    assert ensemble["offline"].patches == ("diff", "cross")
    assert ensemble["openai/gpt-5-mini"].patches == PATCHES
    with pytest.raises(UsageError, match="no proposer 'x'"):
        ensemble["x"]


def test_choice_follows_weights_and_the_generator():
    ensemble = Ensemble([Arm(Fixed("a"), 3.0), Arm(Fixed("b"), 1.0)])
    rng = np.random.default_rng(5)
    names = [ensemble.choose(rng).name for _ in range(800)]
    assert 0.7 < names.count("a") / 800 < 0.8
    again = np.random.default_rng(5)
    assert names == [ensemble.choose(again).name for _ in range(800)]


def test_dropping_keeps_the_last():
    ensemble = Ensemble([Arm(Fixed("a")), Arm(Fixed("b"))])
    assert ensemble.drop("a") and ensemble.names == ("b",)
    assert not ensemble.drop("b") and ensemble.names == ("b",)


def test_entry_points(monkeypatch):
    point = importlib.metadata.EntryPoint("fixed", "plugin:Fixed", "evolve.proposers")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda self: Fixed)
    assert Ensemble.parse("fixed:2,offline").names == ("fixed", "offline")
