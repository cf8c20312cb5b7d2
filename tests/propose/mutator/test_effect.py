from __future__ import annotations

import numpy as np
import pytest
import torch

from evolve import methods
from evolve.propose.mutator import effect
from evolve.propose.mutator.effect import Effects, Mix, places
from evolve.site import Site

DONORS = ("base", "ja", "math")
ROLES = ("embed", "q_proj", "up_proj", "input_norm", "head", "final_norm")


def of(body, head=""):
    source = f"{head}def merge(site, base, ja, math):\n    {body}\n"
    return Effects(DONORS, ROLES, 4).of(source)


def test_places_cover_roles_and_layers():
    found = places(ROLES, 32)
    assert sum(place.role == "q_proj" for place in found) == 6
    assert [place.block for place in found if place.layer is None] == ["embedding", "head", "norm"]
    assert {place.depth for place in found if place.role == "up_proj"} >= {0.0, 1.0}


def test_equal_recipes_have_equal_effects():
    one = of("return base + 0.5 * (ja - base) + 0.25 * (math - base)")
    assert np.allclose(one, of("return task_arithmetic(base, [ja, math], [0.5, 0.25])"))
    assert np.allclose(one, of("return linear([base, ja, math], [0.25, 0.5, 0.25])"))
    assert np.allclose(one, of("return linear([base, slerp(ja, math, 1 / 3)], [0.25, 0.75])"))
    assert not np.allclose(one, of("return ties(base, [ja, math], [0.5, 0.25], normalize=False)")), "ties trims"


def test_distances_are_means_over_the_model():
    none, whole = of("return base"), of("return ja")
    half = of("return ja if site.depth < 0.5 else base")
    assert ((whole - none) ** 2).sum() == pytest.approx(1.0)
    assert 0.2 < ((half - none) ** 2).sum() < 0.8


def test_levels_separate_the_whole_from_its_parts():
    effects = Effects(DONORS, ROLES, 4)
    source = "def merge(site, base, ja, math):\n    return {}\n"
    change = [effects.of(source.format(text)) for text in ("base", "ja", "ja if site.depth < 0.5 else base")]
    share = lambda a, level: float(((a - change[0]) ** 2)[effects.levels == level].sum())  # noqa: E731
    assert share(change[1], 0) == pytest.approx(1.0) and share(change[1], 2) == pytest.approx(0.0)
    assert share(change[2], 1) > 0.1 and share(change[2], 2) == pytest.approx(0.0)


def test_slopes_are_those_of_the_knobs(draft_of):
    from evolve.propose.mutator.space import space_of

    knob = 'w = knob("w", 0.4, low=0.0, high=2.0)\n'
    draft = draft_of(f"{knob}def merge(site, base, ja):\n    return base + w * (ja - base)\n")
    effects = Effects(DONORS, ROLES, 4)
    slopes = effects.slopes(draft.source, space_of(draft))
    assert slopes.shape[0] == 1 and (slopes**2).sum() == pytest.approx(4.0), "the range is 2 wide"


@pytest.mark.parametrize(
    "body", ["return torch.where(ja > 0, ja, math)", "return ja * math", "return 3", "return unknown", "retur"]
)
def test_unknown_code_has_no_effect(body):
    assert of(body) is None


@pytest.mark.parametrize("depth", [0.0, 0.22, 0.5, 0.93, 1.0])
def test_methods_agree_with_the_real_ones(depth):
    """On donors that are unit vectors the real methods return the mixes themselves."""
    site = Site("s", 1, depth, "q_proj", "attention", (3,))
    tensors = list(torch.eye(3))
    mixes = [Mix(np.eye(3)[index]) for index in range(3)]
    cases = [
        ("linear", lambda m, t: m([t[1], t[2]], [0.5, 1.5])),
        ("task_arithmetic", lambda m, t: m(t[0], t[1:], [0.5, 0.2], 0.8)),
        ("layer_swap", lambda m, t: m(site, t[1], t[2], bottom=0.2, top=0.1)),
    ]
    for name, call in cases:
        real = call(getattr(methods, name), tensors).numpy()
        assert np.allclose(call(effect.METHODS[name], mixes).amounts, real, atol=1e-6), name
