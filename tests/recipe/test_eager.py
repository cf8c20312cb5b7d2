"""The oracle: whole-tensor reductions, threads, statistics."""

from __future__ import annotations

import pytest
import torch

from evolve.errors import CandidateError, InvalidPlan, RecipeError
from evolve.execute.executor import Executor
from evolve.recipe.eager import eager
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

SITE = Site("layers.0.up.weight", 0, 0.5, "up_proj", "mlp", (310, 330))
DONORS = {
    name: torch.randn(SITE.shape, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    for seed, name in enumerate(("base", "ja"))
}
# More elements than one block of a total, and sums that float32 rounds.
WHOLE = """
ja.sum() | torch.sum(ja) | ja.sum(None) | ja.sum(()) | ja.sum([]) | ja.sum((0, 1)) | ja.sum(dim=(1, 0))
ja.sum((-1, 0), False) | torch.sum(ja, dim=(0, -1)) | ja.sum(axis=(0, 1)) | ja.sum(dtype=torch.float32) | ja.T.sum()
ja.flatten().sum(0) | ja.flatten().sum(-1) | ja[5].sum() | ja[5].sum(0) | ja.mean() | torch.mean(ja) | ja.mean((0, 1))
ja.mean(dim=None, keepdim=False) | ja.mean(axis=(-2, -1)) | ja.mean(dtype=torch.float32) | ja.T.mean() | ja.norm()
torch.norm(ja) | ja.norm(2) | ja.norm(p=2.0) | ja.norm("fro") | torch.norm(ja, 2, (0, 1)) | torch.norm(ja, dim=(1, 0))
torch.norm(ja, 2, None, False, None) | ja.flatten().norm(2, 0) | torch.linalg.norm(ja)
torch.linalg.norm(ja, dim=(0, 1)) | ja[3].dist(base)
torch.linalg.norm(ja.flatten(), 2) | torch.linalg.norm(ja.flatten(), ord=2, dim=0) | torch.linalg.vector_norm(ja)
torch.linalg.vector_norm(ja, 2.0) | torch.linalg.vector_norm(ja, ord=2, dim=(0, 1)) | torch.dist(ja, base)
ja.dist(base) | torch.dist(ja, base, p=2)
"""
OTHERS = """
ja.sum(0) | ja.sum(keepdim=True, dim=(0, 1)) | ja.mean(1, keepdim=True) | ja.norm(1) | ja.norm(2, 0) | ja.norm("nuc")
torch.linalg.norm(ja, 2) | torch.linalg.norm(ja, "fro") | torch.linalg.matrix_norm(ja) | torch.linalg.vector_norm(ja, 3)
torch.linalg.vector_norm(ja, keepdim=True) | torch.dist(ja, base, 1) | (ja > 0).sum() | (ja > 0).sum((0, 1))
(ja * 4).long().sum() | ja.sum().sum() | ja.sum().norm() | ja.mean().mean() | torch.tensor([0.1, 0.7]).sum() + ja.amax()
torch.nn.functional.normalize(ja).amax() | torch.full((40000,), 0.1).sum() | ja.std() | ja.nansum()
"""


def calls(text: str) -> list[str]:
    return [call.strip() for line in text.strip().splitlines() for call in line.split("|")]


def source_of(call: str) -> str:
    return f"import torch\ndef merge(site, base, ja):\n    return torch.zeros(site.shape) + {call}\n"


def executed(source: str) -> torch.Tensor:
    plan = trace(source, [SITE], {name: DonorInfo(1) for name in DONORS}).plan
    return Executor(plan).compute_site(0, DONORS)


@pytest.mark.parametrize("call", calls(WHOLE) + calls(OTHERS))
def test_reductions_have_the_bits_of_the_executor(call):
    assert torch.equal(eager(source_of(call), SITE, DONORS), executed(source_of(call)))


@pytest.mark.parametrize(("call", "exact"), [("sum", "sum"), ("mean", "mean"), ("norm", "norm")])
def test_whole_tensors_are_summed_in_float64(call, exact):
    result = eager(source_of(f"ja.{call}()"), SITE, DONORS)[0, 0]
    assert result == getattr(DONORS["ja"].double(), exact)().float()


@pytest.mark.parametrize(
    "call", ["ja.sum(2)", "ja.flatten().sum(3)", "ja.sum((0, 0))", "ja.mean((0, -2))", "ja.norm(2, 5)"]
)
def test_wrong_dimensions_are_refused_by_both(call):
    with pytest.raises(RecipeError):
        eager(source_of(call), SITE, DONORS)
    with pytest.raises(CandidateError):
        executed(source_of(call))


def test_threads_change_nothing_and_stay_as_they_were():
    source = source_of("(ja.std() + ja.logsumexp(1).sum() + (ja @ base.T).sum() + ja.sum(0).norm())")
    alone = eager(source, SITE, DONORS)
    torch.set_num_threads(3)
    try:
        assert torch.equal(eager(source, SITE, DONORS), alone)
        with pytest.raises(RecipeError):
            eager("def merge(site, ja):\n    return 1 / 0\n", SITE, DONORS)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


FISHER = "def merge(site, ja):\n    return ja * site.stat('fisher', 'base')\n"


def test_statistics_are_read_copied_and_checked():
    asked = []
    stored = torch.rand(SITE.shape).bfloat16()

    def read(donor: str, name: str, site: str) -> torch.Tensor:
        asked.append((donor, name, site))
        return stored

    assert torch.equal(eager(FISHER, SITE, DONORS, statistics=read), DONORS["ja"] * stored.float())
    assert asked == [("base", "fisher", SITE.name)]
    changed = "def merge(site, ja):\n    f = site.stat('fisher', 'base')\n    f += 1\n    return f.sum() * ja\n"
    before = stored.clone()
    eager(changed, SITE, DONORS, statistics=read)
    assert torch.equal(stored, before)
    with pytest.raises(InvalidPlan, match=r"has shape \[3\], not \[310, 330\]"):
        eager(FISHER, SITE, DONORS, statistics=lambda *asked: torch.ones(3))
    with pytest.raises(RecipeError, match="not prepared"):
        eager(FISHER, SITE, DONORS)
