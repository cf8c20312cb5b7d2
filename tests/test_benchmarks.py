"""The benchmarks measure what they say: the recipes trace, and mergekit is given the same donors and numbers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

SITE = Site("model.layers.0.mlp.up_proj.weight", 0, 0.0, "up_proj", "mlp", (8, 16))
_FILE = Path(__file__).resolve().parent.parent / "benchmarks" / "merge_cases.py"
_spec = importlib.util.spec_from_file_location("evolve_merge_cases", _FILE)
assert _spec is not None and _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = cases
_spec.loader.exec_module(cases)


@pytest.mark.parametrize("name", cases.METHODS)
def test_every_candidate_of_a_merge_method_is_another_plan_over_the_same_donors(name):
    method = cases.METHODS[name]
    donors = {donor: DonorInfo(1) for donor in cases.DONORS}
    plans = [trace(method.recipe(step), [SITE], donors).plan for step in range(6)]
    assert len({plan.digest for plan in plans}) == 6
    assert {plan.donors for plan in plans} == {tuple(sorted(method.donors))}


@pytest.mark.parametrize("name", cases.METHODS)
def test_mergekit_is_given_the_donors_and_numbers_of_the_first_candidate(name):
    method = cases.METHODS[name]
    config = method.mergekit(Path("/models"))
    named = {model["model"] for model in config["models"]} | {config.get("base_model", "/models/a")}
    assert named == {f"/models/{donor}" for donor in method.donors}
    source = method.recipe()
    for parameter, written in (("weight", "[0.5, 0.3, 0.2]"), ("density", "[0.5, 0.3, 0.5]")):
        given = [model["parameters"].get(parameter) for model in config["models"]]
        assert (str(given) in source) == (written in source) == (parameter in method.own)


def test_the_start_of_jailed_processes_is_measured_beside_fresh_ones():
    command = [sys.executable, str(_FILE.parent / "sandbox.py"), "--candidates", "2"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    rows = [line.split("|") for line in printed.splitlines() if line.startswith("| ")][1:]
    assert [row[1].partition(":")[0].strip() for row in rows[:4]] == ["program", "program", "recipe", "recipe"]
    medians = [float(row[3]) for row in rows]
    assert all(0 < start <= whole for start, whole in (medians[:2], medians[2:4]))
    assert len(rows) == 6
    assert min(medians[4:]) > 20
