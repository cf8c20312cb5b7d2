"""What a recipe asks of a site: donor statistics."""

from __future__ import annotations

import pytest

from evolve.errors import RecipeError
from evolve.plan.plan import Plan
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

DONORS = {"base": DonorInfo(1), "ja": DonorInfo(1, ("fisher", "gram", "adamerging")), "math": DonorInfo(1, ("gram",))}
PROJECTION = Site("layers.0.k.weight", 0, 0.0, "k_proj", "attention", (2, 3))
SQUARE = Site("layers.0.q.weight", 0, 0.0, "q_proj", "attention", (3, 3))
NORM = Site("norm.weight", None, 1.0, "final_norm", "norm", (3,))


def plan_of(body: str, *sites: Site) -> Plan:
    return trace(f"def merge(site, base):\n    return {body}\n", sites or [PROJECTION, SQUARE, NORM], DONORS).plan


def statistics(plan: Plan) -> list[list[dict]]:
    return [plan.templates[site.template].leaves("statistic") for site in plan.sites]


def test_a_statistic_becomes_a_leaf_and_its_donor_is_used():
    plan = plan_of("base * site.stat('fisher', 'ja') * site.stat('adamerging', 'ja')")
    assert plan.donors == ("base", "ja")
    assert len(plan.templates) == 1
    assert (
        statistics(plan)
        == [
            [
                {"donor": "ja", "name": "fisher", "shape": None},
                {"donor": "ja", "name": "adamerging", "shape": ()},
            ]
        ]
        * 3
    )
    assert Plan.from_json(plan.to_json()).digest == plan.digest


def test_gram_is_square_in_the_inputs_and_only_at_linear_weights():
    plan = plan_of("base @ site.stat('gram', 'math') if site.block == 'attention' else base")
    gram = {"donor": "math", "name": "gram"}
    assert statistics(plan) == [[{**gram, "shape": (3, 3)}], [{**gram, "shape": None}], []]


def test_equal_statistics_are_one_leaf_and_different_ones_are_not():
    (twice,) = plan_of("base * site.stat('fisher', 'ja') + site.stat(donor='ja', name='fisher')", SQUARE).templates
    assert len(twice.leaves("statistic")) == 1
    digests = {plan_of(f"base + site.stat({name!r}, {donor!r})", SQUARE).digest for name, donor in
               [("fisher", "ja"), ("gram", "ja"), ("gram", "math"), ("adamerging", "ja")]}  # fmt: skip
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("'fischer', 'ja'", "no such statistic; did you mean 'fisher'?"),
        ("'hessian', 'ja'", "no such statistic; there are adamerging, fisher, gram"),
        ("'fisher', 'jaa'", "no such donor; did you mean 'ja'?"),
        ("'fisher', 'xyz'", "no such donor; the donors are base, ja, math"),
        ("'fisher', 'math'", "('fisher', 'math') is not prepared; run `evolve donors PROBLEM --prepare`"),
        ("'gram', 'ja'", "final_norm has none; 'gram' exists at weights of q_proj"),
        ("'fisher', base", 'site.stat("fisher", "ja") takes two texts, not a Symbolic'),
        ("3, 'ja'", "not a int"),
        ("'fisher'", "missing 1 required positional argument: 'donor'"),
    ],
)
def test_misuse_is_named_with_its_line(asked, text):
    with pytest.raises(RecipeError) as caught:
        plan_of(f"base * site.stat({asked})", NORM)
    assert text in str(caught.value)
    assert "norm.weight" in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.line == 2


def test_sites_are_told_what_they_have():
    with pytest.raises(RecipeError, match="no attribute 'stats'; did you mean 'stat'"):
        plan_of("site.stats('fisher', 'ja')")


@pytest.mark.parametrize("name", ["merged", "totals"])
def test_donors_have_no_reserved_name(name):
    with pytest.raises(RecipeError, match=f"cannot be called '{name}'"):
        trace("def merge(site):\n    return 1\n", [NORM], {name: DonorInfo(1)})
