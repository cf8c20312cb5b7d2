"""Which statistics exist where."""

from __future__ import annotations

import pytest

from evolve.errors import InvalidPlan
from evolve.plan.statistics import STATISTICS, available, shape_of
from evolve.site import Site

PROJECTION = Site("k", 0, 0.0, "k_proj", "attention", (2, 6))
BIAS = Site("k.bias", 0, 0.0, "k_proj", "attention", (2,), "bias")
NORM = Site("n", 0, 0.0, "input_norm", "norm", (6,))
EMBEDDING = Site("e", None, 0.0, "embed", "embedding", (9, 6))


@pytest.mark.parametrize(
    ("name", "site", "shape"),
    [
        ("fisher", PROJECTION, (2, 6)),
        ("fisher", BIAS, (2,)),
        ("fisher", NORM, (6,)),
        ("adamerging", PROJECTION, ()),
        ("adamerging", EMBEDDING, ()),
        ("gram", PROJECTION, (6, 6)),
    ],
)
def test_shapes(name, site, shape):
    assert available(name, site)
    assert shape_of(name, site) == shape


@pytest.mark.parametrize("site", [BIAS, NORM, EMBEDDING], ids=lambda site: site.name)
def test_gram_belongs_to_the_weights_of_linear_layers(site):
    assert not available("gram", site)
    with pytest.raises(InvalidPlan, match=f"'gram' does not exist at site '{site.name}'.*q_proj"):
        shape_of("gram", site)


def test_unknown_names():
    assert not available("hessian", PROJECTION)
    with pytest.raises(InvalidPlan, match=f"'hessian' does not exist; the statistics are {', '.join(STATISTICS)}"):
        shape_of("hessian", PROJECTION)
