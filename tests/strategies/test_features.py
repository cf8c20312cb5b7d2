"""Traced recipes as named numbers."""

from __future__ import annotations

import pytest

from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site
from evolve.strategies.features import plan_features

LAYERS = 4
SITES = [
    Site("embed", None, 0.0, "embed", "embedding", (8, 4)),
    *(Site(f"q{n}", n, n / 3, "q_proj", "attention", (4, 4)) for n in range(LAYERS)),
    *(Site(f"up{n}", n, n / 3, "up_proj", "mlp", (6, 4)) for n in range(LAYERS)),
]
DONORS = {name: DonorInfo(LAYERS) for name in ("base", "ja", "math")}
HEAD = """
import torch
from evolve.methods import dare_linear, linear, slerp, task_arithmetic, ties
from evolve.recipe import knob
"""


def features(body: str) -> dict[str, float]:
    traced = trace(HEAD + body, SITES, DONORS)
    return plan_features(traced.plan.to_dict(), [knob.to_dict() for knob in traced.knobs], SITES)


def expression(text: str) -> dict[str, float]:
    return features(f"def merge(site, base, ja, math):\n    return {text}\n")


def test_amounts_of_linear_recipes_are_exact() -> None:
    found = features("""
w = knob("w", [0.1, 0.2, 0.3, 0.4], low=0.0, high=1.0)
def merge(site, base, ja, math):
    if site.layer is None:
        return ja
    return task_arithmetic(base, [ja, math], [w[site.layer], 0.5 if site.block == "mlp" else -0.25])
""")
    assert [found[f"ja layer {n}"] for n in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert found["ja embed"] == 1.0
    assert (found["math up_proj"], found["math q_proj"]) == pytest.approx((0.5, -0.25))
    assert found["math layer 2"] == pytest.approx(0.125)
    assert found["base layer 0"] == pytest.approx(1 - 0.1 - 0.125)
    assert found["knob w"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "text",
    [
        "linear([ja, math], [1.0, 3.0])",
        "torch.lerp(ja, math, 0.75)",
        "torch.stack([ja, math, math, math]).mean(0)",
        "ja - (ja - math) * 0.75",
    ],
)
def test_the_same_mix_written_in_other_ways_has_the_same_amounts(text: str) -> None:
    found = expression(text)
    assert (found["ja q_proj"], found["math q_proj"]) == pytest.approx((0.25, 0.75))


def test_masks_keep_amounts_and_densities_and_noise_are_seen() -> None:
    thin, dense = (expression(f"dare_linear(base, [ja, math], [0.4, 0.2], {density})") for density in (0.25, 0.75))
    assert thin["ja q_proj"] > thin["math q_proj"] > 0
    assert thin["op noise"] == dense["op noise"] == 2.0
    assert {name for name in thin if name.startswith("at ") and thin[name] != dense[name]}
    trimmed = expression("ties(base, [ja, math], [0.4, 0.2], density=0.3)")
    assert trimmed["ja q_proj"] != 0.0
    assert "op noise" not in trimmed
    assert trimmed["nodes"] > 10


def test_a_stack_is_described() -> None:
    found = features("""
def merge(site, ja):
    return ja
def stack(donors):
    return [("merged", 0), ("math", 1), ("math", 2), ("merged", 3), ("math", 3)]
""")
    assert (found["stack layers"], found["stack math"], found["stack merged"]) == (5.0, 3.0, 2.0)
