"""Every method as a traced plan, executed, against the method on real tensors: bit for bit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from evolve import methods
from evolve.execute.executor import Executor
from evolve.plan.plan import Plan
from evolve.recipe.eager import eager
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

torch.set_num_threads(1)

CALLS = {
    "arcee_fusion": "arcee_fusion(base, ja)",
    "breadcrumbs": "breadcrumbs(base, [ja, math], [0.6, 0.5], density=[0.5, 0.9], gamma=0.05, scale=0.7)",
    "breadcrumbs_ties": "breadcrumbs_ties(base, [ja, math], density=0.4, gamma=[0.1, 0.2], normalize=True)",
    "compeft": "compeft(base, [ja, math], [0.6, 0.5], density=[0.4, 0.9], alpha=1.5)",
    "consensus": "consensus(base, [ja, math, ja - math], [0.5, 0.4, 0.3], threshold=0.3)",
    "dare_linear": "dare_linear(base, [ja, math], density=0.4)",
    "dare_ties": "dare_ties(base, [ja, math], [0.4, 0.3], density=0.6, rescale='l1')",
    "della": "della(base, [ja, math], [0.6, 0.5], density=[0.4, 0.7], epsilon=[0.2, 0.1])",
    "della_linear": "della_linear(base, [ja, math], density=0.6, rescale='l1')",
    "iso_c": "iso_c(base, [ja, math], scale=0.8)",
    "iso_cts": "iso_cts(base, [ja, math], common=0.5)",
    "karcher": "karcher([base, ja, math], [1, site.depth, 0.5])",
    "layer_swap": "layer_swap(site, ja, math)",
    "linear": "linear([ja, math], [0.7, 0.4])",
    "model_stock": "model_stock(base, [ja, math, ja * math], filter_wise=True)",
    "multislerp": "multislerp([ja, math, ja + math], [0.5, 0.3, 0.9], base)",
    "nearswap": "nearswap(ja, math, 0.4)",
    "nuslerp": "nuslerp(ja, math, 0.3, base, along='rows')",
    "opcm": "opcm(base, [ja, math, ja * math], scale=0.9)",
    "passthrough": "passthrough(ja, 0.5)",
    "pcb": "pcb(base, [ja, math], [1.1, 0.9], density=0.3)",
    "perturb": "perturb(ja, 0.1, rank=1) + perturb(math, 0.2)",
    "ram": "ram(base, [ja, math], epsilon=0.5)",
    "ramplus_tl": "ramplus_tl(base, [ja, math], epsilon=0.5)",
    "sce": "sce(base, [ja, math, ja * math], 0.4) + sce(base, [ja, math], 0.6, among='varying')",
    "slerp": "slerp(ja, math, 0.3)",
    "sparse_sign": "sparse_sign(base, [ja, math], [1.2, -0.4], density=[0.3, 0.8])",
    "task_arithmetic": "task_arithmetic(base, [ja, math], [0.5, site.depth])",
    "ties": "ties(base, [ja, math], [0.6, 0.5], density=[0.4, 0.7], normalize=False)",
    "tsv_merge": "tsv_merge(base, [ja, math], scale=0.9)",
}
PREPARED = {"adamerging", "fisher", "regmean"}
# The last is larger than the blocks in which totals are added up.
SHAPES = [(64,), (1,), (33, 40), (40, 33), (1, 5), (5, 1), (190, 200)]


def test_every_method_is_called_and_documented():
    assert CALLS.keys() | PREPARED == set(methods.__all__)
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
    assert set(methods.__all__) == set(re.findall(r"(?m)^\| `([a-z_]+)", page))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_plan_is_the_method(name, shape):
    role, kind = ("up_proj", "weight") if len(shape) == 2 else ("input_norm", "bias")
    site = Site(f"model.layers.3.{role}.{kind}", 3, 0.375, role, "mlp", shape, kind)
    source = f"from evolve.methods import *\ndef merge(site, base, ja, math):\n    return {CALLS[name]}\n"
    generator = torch.Generator().manual_seed(5)
    donors = {donor: torch.randn(shape, generator=generator).bfloat16() for donor in ("base", "ja", "math")}
    plan = trace(source, [site], {donor: DonorInfo(8) for donor in donors}).plan
    result = Executor(Plan.from_json(plan.to_json())).compute_site(site.name, donors)
    assert result.isfinite().all()
    assert torch.equal(result, eager(source, site, donors))
