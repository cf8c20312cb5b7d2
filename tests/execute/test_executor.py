"""The executor: liveness, sharing, leaves, errors."""

from __future__ import annotations

import pytest
import torch

from evolve.errors import InvalidPlan, RecipeError
from evolve.execute.executor import Executor
from evolve.plan import kernels
from evolve.plan.operations import OPERATIONS
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

torch.set_num_threads(1)

SITES = [Site("a", 0, 0.0, "q_proj", "attention", (6, 5)), Site("b", 1, 1.0, "input_norm", "norm", (5,))]


def executor_of(body: str) -> Executor:
    source = f"import torch\ndef merge(site, **d):\n    base, ja = d['base'], d['ja']\n    return {body}\n"
    return Executor(trace(source, SITES, {"base": DonorInfo(2), "ja": DonorInfo(2)}).plan)


@pytest.fixture
def donors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(6, 5, generator=generator) for name in ("base", "ja")}


def test_every_operation_has_a_kernel():
    assert set(kernels.KERNELS) == set(OPERATIONS)


def test_sites_by_position_and_name(donors):
    executor = executor_of("base + 0.5 * (ja - base)")
    expected = donors["base"] + 0.5 * (donors["ja"] - donors["base"])
    assert torch.equal(executor.compute_site(0, donors), expected)
    assert torch.equal(executor.compute_site("a", donors), expected)
    vectors = {name: tensor[0] for name, tensor in donors.items()}
    assert torch.equal(executor.compute_site("b", vectors), expected[0])
    for missing in ("c", 7):
        with pytest.raises(InvalidPlan, match="no site"):
            executor.compute_site(missing, donors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_donors_are_computed_in_float32(donors, dtype):
    halves = {name: tensor.to(dtype) for name, tensor in donors.items()}
    result = executor_of("base / 3 + ja").compute_site(0, halves)
    assert result.dtype == torch.float32
    assert torch.equal(result, halves["base"].float() / 3 + halves["ja"].float())


def test_only_used_donors_are_read(donors):
    executor = executor_of("ja * 2")
    assert executor.donors_of(0) == {"ja"}
    assert torch.equal(executor.compute_site(0, {"ja": donors["ja"]}), donors["ja"] * 2)
    with pytest.raises(InvalidPlan, match="donor 'ja' is not loaded"):
        executor.compute_site(0, {"base": donors["base"]})
    with pytest.raises(InvalidPlan, match=r"shape \[5, 6\], the plan \[6, 5\]"):
        executor.compute_site(0, {"ja": donors["ja"].T})


def test_donors_are_not_changed(donors):
    before = {name: tensor.clone() for name, tensor in donors.items()}
    executor_of("(base * 2 + ja).relu().masked_fill(ja > 0, 1.0)").compute_site(0, donors)
    assert all(torch.equal(donors[name], before[name]) for name in donors)


def test_several_outputs_are_computed_once(donors, monkeypatch):
    calls = []
    original = kernels.KERNELS["sort"]
    monkeypatch.setitem(kernels.KERNELS, "sort", lambda *args: calls.append(1) or original(*args))
    executor = executor_of("base.sort(0).values + base.sort(0).indices + base.sort(0).values * 2")
    executor.compute_site(0, donors)
    assert len(calls) == 1


def test_results_are_freed_after_their_last_use(donors, monkeypatch):
    """A long chain keeps a few tensors alive, not one per operation."""
    executor = executor_of("__import__('functools').reduce(lambda t, i: t * 0.9 + ja * i, range(2, 50), base)")
    alive, most = [], []
    original = kernels.KERNELS["mul"]

    def counted(*args):
        result = original(*args)
        import weakref

        alive.append(weakref.ref(result))
        most.append(sum(ref() is not None for ref in alive))
        return result

    monkeypatch.setitem(kernels.KERNELS, "mul", counted)
    executor.compute_site(0, donors)
    assert len(most) > 90
    assert max(most) <= 3


def test_singular_matrices_name_the_site(donors):
    executor = executor_of("base if site.layer else torch.linalg.inv((base * 0) @ base.T) @ base")
    with pytest.raises(RecipeError, match="site 'a': inv failed"):
        executor.compute_site(0, donors)


def test_positions_out_of_range_stay_in_range(donors):
    executor = executor_of("base.gather(0, (ja * 1e6).long()) if site.layer == 0 else base")
    result = executor.compute_site(0, donors)
    assert torch.equal(result, base_rows(donors))


def base_rows(donors: dict[str, torch.Tensor]) -> torch.Tensor:
    return donors["base"].gather(0, (donors["ja"] * 1e6).long().clamp(0, 5))


def test_no_gradients_are_recorded(donors):
    donors["base"].requires_grad_()
    result = executor_of("base * 2").compute_site(0, donors)
    assert not result.requires_grad


def test_quantile_is_torchs_and_has_no_limit_of_size():
    values = torch.randn(1001)
    for q in (0.0, 0.123, 0.5, 0.9, 1.0):
        torch.testing.assert_close(kernels.quantile(values, q), torch.quantile(values, q), rtol=1e-5, atol=1e-6)
    matrix = values[:1000].reshape(20, 50)
    for mode in ("linear", "lower", "higher", "nearest", "midpoint"):
        expected = torch.quantile(matrix, 0.37, dim=1, keepdim=True, interpolation=mode)
        torch.testing.assert_close(kernels.quantile(matrix, 0.37, 1, True, mode), expected, rtol=1e-5, atol=1e-6)
    large = torch.arange(2**24 + 1, dtype=torch.float32)
    assert kernels.quantile(large, 0.5).item() == 2**23
