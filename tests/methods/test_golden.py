"""The methods against what mergekit makes of the same tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evolve import methods

FOLDER = Path(__file__).parents[1] / "golden" / "float32"
INPUTS = load_file(FOLDER / "inputs.safetensors")
CASES = json.loads((FOLDER / "cases.json").read_text())["cases"]


def experts(case: str) -> tuple[list[str], dict[str, list[float]], dict]:
    """The fine-tuned models of a case, their parameters by name, and the case's own parameters."""
    config = CASES[case]
    entries = [entry for entry in config["models"] if entry["model"] != config.get("base_model")]
    names = {name for entry in entries for name in entry.get("parameters", {})}
    parameters = {name: [entry["parameters"][name] for entry in entries] for name in names}
    return [entry["model"] for entry in entries], parameters, config.get("parameters", {})


def merged(case: str, parameter: str) -> torch.Tensor:
    models, own, shared = experts(case)
    base = INPUTS.get(f"base/{parameter}")
    tensors = [INPUTS[f"{model}/{parameter}"] for model in models]
    method = CASES[case]["merge_method"]
    if method == "linear":
        return methods.linear(tensors, own["weight"], shared["normalize"])
    if method == "slerp":
        return methods.slerp(INPUTS[f"{CASES[case]['base_model']}/{parameter}"], tensors[0], shared["t"])
    if method == "task_arithmetic":
        return methods.task_arithmetic(base, tensors, own["weight"])
    if method == "dare_linear":
        return methods.dare_linear(base, tensors, own["weight"], own["density"], "l1")
    assert method == "ties"
    scale = shared.get("lambda", 1.0)
    return methods.ties(base, tensors, own["weight"], own["density"], scale, shared["normalize"])


@pytest.mark.parametrize(
    "case",
    ["linear", "linear_unnormalized", "slerp", "task_arithmetic", "ties", "ties_lambda", "dare_linear_density_1"],
)
def test_equals_mergekit(case):
    golden = load_file(FOLDER / f"{case}.safetensors")
    assert len(golden) == 6
    for parameter, expected in golden.items():
        torch.testing.assert_close(merged(case, parameter), expected, rtol=1e-6, atol=1e-7)
