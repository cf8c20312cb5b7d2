from __future__ import annotations

import pytest

from evolve.errors import UsageError
from evolve.strategies.registry import BUILT_IN, GROUP, make, names


def test_the_default_is_listed_first():
    assert names()[0] == "evolve" and set(BUILT_IN) < set(names())


def test_an_unknown_name_is_met_with_the_nearest(setting):
    with pytest.raises(UsageError, match="unknown search strategy 'cma_es'; did you mean 'cmaes'"):
        make("cma_es", setting())


def test_a_package_adds_a_strategy(setting, tmp_path, monkeypatch):
    """A distribution on the path, as an installed one is."""
    info = tmp_path / "others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nlucky = lucky_strategy:make\n")
    (tmp_path / "lucky_strategy.py").write_text("def make(setting):\n    return ('lucky', setting.seed)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "lucky" in names()
    assert make("lucky", setting(seed=5)) == ("lucky", 5)
