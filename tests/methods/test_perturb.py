"""perturb: seeded mutations of full and low rank."""

from __future__ import annotations

import pytest
import torch

from evolve import methods
from evolve.recipe.eager import eager
from evolve.site import Site

BIG, VECTOR = (300, 200), (5000,)


def mutated(call, shape=BIG, name="model.layers.0.mlp.up_proj.weight", before=""):
    site = Site(name, 0, 0.0, "up_proj", "mlp", shape)
    source = (
        f"import torch\nfrom evolve.methods import perturb\ndef merge(site, base):\n    {before}\n    return {call}\n"
    )
    return eager(source, site, {"base": torch.zeros(shape)})


@pytest.mark.parametrize("shape", [BIG, VECTOR])
@pytest.mark.parametrize("rank", [None, 1, 16])
def test_noise_has_the_asked_size(shape, rank):
    noise = mutated(f"perturb(base, 0.5, rank={rank})", shape)
    assert abs(float(noise.std()) - 0.5) < (0.1 if rank == 1 else 0.03)
    assert abs(float(noise.mean())) < 0.02
    found = torch.linalg.matrix_rank(noise) if noise.ndim == 2 and rank else rank
    assert found == rank


def test_noise_belongs_to_the_site_the_seed_and_the_draw():
    first = mutated("perturb(base, 1.0)")
    assert torch.equal(mutated("perturb(base, 1.0)"), first)
    torch.testing.assert_close(mutated("perturb(base, 0.25)"), first / 4)
    assert not torch.equal(mutated("perturb(base, 1.0)", before="torch.manual_seed(7)"), first)
    assert not torch.equal(mutated("perturb(base, 1.0)", name="model.layers.1.mlp.up_proj.weight"), first)
    assert mutated("perturb(base, 1.0) - perturb(base, 1.0)").abs().max() > 1


def test_it_runs_on_real_tensors(draw):
    a = draw(1)[0]
    torch.manual_seed(3)
    expected = a + torch.randn_like(a) * 0.1
    torch.manual_seed(3)
    assert torch.equal(methods.perturb(a, 0.1), expected)
    assert torch.equal(methods.perturb(a, 0.0, rank=2), a)


def test_arguments_out_of_range_are_named(draw):
    a = draw(1)[0]
    with pytest.raises(ValueError, match="sigma is -1; it must lie between 0 and inf"):
        methods.perturb(a, -1)
    with pytest.raises(ValueError, match="rank is 7; it must lie between 1 and 6"):
        methods.perturb(a, 0.1, rank=7)
    with pytest.raises(ValueError, match="rank is 0"):
        methods.perturb(a, 0.1, rank=0)
