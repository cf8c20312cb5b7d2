"""The methods against what mergekit makes of the same tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from evolve import methods

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "float32" / "cases.json").read_text())["cases"]
INPUTS = {dtype: load_file(GOLDEN / dtype / "inputs.safetensors") for dtype in ("float32", "bfloat16")}
LAYERS = 2


class Case:
    """A case's tensors of one parameter, as float32, and its parameters."""

    def __init__(self, name: str, dtype: str, parameter: str) -> None:
        config = CASES[name]
        entries = config["models"] if "models" in config else config["slices"][0]["sources"]
        self.parameter, self.base_model = parameter, config.get("base_model")
        self._inputs = INPUTS[dtype]
        entries = [entry for entry in entries if entry["model"] != self.base_model]
        self.own = [entry.get("parameters", {}) for entry in entries]
        self.shared = config.get("parameters", {})
        self.tensors = [self.read(entry["model"]) for entry in entries]

    def read(self, model: str) -> Tensor:
        return self._inputs[f"{model}/{self.parameter}"].float()

    @property
    def base(self) -> Tensor:
        return self.read(self.base_model)

    def each(self, name: str) -> list[float]:
        return [parameters[name] for parameters in self.own]

    def filtered(self, rules: list[dict]) -> float:
        """The value of the first rule whose filter is part of the parameter's name; lists run along the depth."""
        value = next(rule["value"] for rule in rules if rule.get("filter", "") in self.parameter)
        if not isinstance(value, list):
            return value
        layer = int(self.parameter.split(".")[2])
        place = layer / (LAYERS - 1) * (len(value) - 1)
        below = min(int(place), len(value) - 2)
        return value[below] + (value[below + 1] - value[below]) * (place - below)


def slerp(case: Case) -> Tensor:
    t = case.shared["t"]
    return methods.slerp(case.base, case.tensors[0], case.filtered(t) if isinstance(t, list) else t)


def ties(case: Case) -> Tensor:
    scale, normalize = case.shared.get("lambda", 1.0), case.shared["normalize"]
    return methods.ties(case.base, case.tensors, case.each("weight"), case.each("density"), scale, normalize)


def crumbs(case: Case, method: Callable[..., Tensor]) -> Tensor:
    return method(case.base, case.tensors, case.each("weight"), case.each("density"), case.each("gamma"))


def nuslerp(case: Case) -> Tensor:
    first, second = case.each("weight")
    return methods.nuslerp(*case.tensors, second / (first + second))


MERGE: dict[str, Callable[[Case], Tensor]] = {
    "arcee_fusion": lambda case: methods.arcee_fusion(case.base, case.tensors[0]),
    "breadcrumbs": lambda case: crumbs(case, methods.breadcrumbs),
    "breadcrumbs_ties": lambda case: crumbs(case, methods.breadcrumbs_ties),
    "dare_linear_density_1": lambda case: methods.dare_linear(
        case.base, case.tensors, case.each("weight"), case.each("density"), "l1"
    ),
    "karcher": lambda case: methods.karcher(case.tensors),
    "linear": lambda case: methods.linear(case.tensors, case.each("weight"), case.shared["normalize"]),
    "model_stock": lambda case: methods.model_stock(case.base, case.tensors),
    "multislerp": lambda case: methods.multislerp(case.tensors, case.each("weight")),
    "nearswap": lambda case: methods.nearswap(case.base, case.tensors[0], case.shared["t"]),
    "nuslerp": nuslerp,
    "passthrough_scale": lambda case: methods.passthrough(case.tensors[0], case.filtered(case.own[0]["scale"])),
    "sce": lambda case: methods.sce(case.base, case.tensors, case.shared["select_topk"], among="varying"),
    "slerp": slerp,
    "slerp_gradient": slerp,
    "task_arithmetic": lambda case: methods.task_arithmetic(case.base, case.tensors, case.each("weight")),
    "ties": ties,
    "ties_lambda": ties,
}
MERGE["linear_unnormalized"] = MERGE["linear"]


def both(name: str, dtype: str) -> list[tuple[Case, Tensor, Tensor]]:
    """Our float32 result and mergekit's for every parameter."""
    golden = load_file(GOLDEN / dtype / f"{name}.safetensors")
    cases = [Case(name, dtype, parameter) for parameter in golden]
    return [(case, MERGE[name](case), golden[case.parameter]) for case in cases]


@pytest.mark.parametrize("name", sorted(CASES))
def test_equals_mergekit(name):
    merged = both(name, "float32")
    assert len(merged) == 6
    for _, result, expected in merged:
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=5e-8)


BFLOAT16 = {
    "arcee_fusion": (2, 0.12),
    "breadcrumbs": (2, 0.002),
    "breadcrumbs_ties": (2, 0.002),
    "dare_linear_density_1": (3, 0),
    "karcher": (2, 0),
    "linear": (1, 0),
    "linear_unnormalized": (1, 0),
    "model_stock": (2, 0),
    "multislerp": (2, 0),
    "nearswap": (3, 0),
    "nuslerp": (2, 0),
    "passthrough_scale": (0, 0),
    "sce": (2, 0.003),
    "slerp": (0, 0),
    "slerp_gradient": (0, 0),
    "task_arithmetic": (3, 0),
    "ties": (2, 0.007),
    "ties_lambda": (2, 0.04),
}
"""Units in the last place, of the largest of the inputs and mergekit's result, by which our float32 result rounded to
bfloat16 may differ from mergekit's, and the share of a tensor's elements that may differ by more. mergekit computes
most methods in bfloat16 throughout: sums of task vectors come out up to 3 units apart, and its magnitudes, variances
and divergences in bfloat16 fall on the other side of a threshold for a few elements (for many in arcee_fusion, whose
divergences of nearly equal rows are differences of rounded numbers and whose result is not rounded)."""


@pytest.mark.parametrize("name", sorted(CASES))
def test_is_near_to_what_mergekit_makes_in_bfloat16(name):
    units, share = BFLOAT16[name]
    for case, result, expected in both(name, "bfloat16"):
        assert expected.dtype == (torch.float32 if name == "arcee_fusion" else torch.bfloat16)
        operands = [expected.float(), *case.tensors, *([case.base] if case.base_model else [])]
        largest = torch.stack([operand.abs() for operand in operands]).amax(0).clamp(min=2.0**-100)
        unit = largest.log2().floor().exp2() * 2.0**-7
        apart = (result.bfloat16().float() - expected.float()).abs() / unit
        assert (apart > units).float().mean() <= share
