"""Compiled loops, blocks and what is kept never change a bit: the executor equals the eager recipe, however it runs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evolve.errors import RecipeError
from evolve.execute.executor import Executor
from evolve.execute.region import Loops
from evolve.execute.workspace import Workspace
from evolve.recipe.eager import eager
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NAMES = ("base", "ja", "math")
SHAPES = [(2,), (33,), (70000,), (1, 7), (5, 1), (16, 48), (37, 130), (300, 259), (2, 65537)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def source_of(body: str) -> str:
    """A recipe of one expression; ``{n}`` in it stands for a donor."""
    return f"import torch\nfrom evolve import methods\n\ndef merge(site, base, ja, math):\n    return {body}\n"


def site_of(shape: tuple[int, ...]) -> Site:
    return Site("model.layers.0.mlp.up_proj.weight", 0, 0.5, "up_proj", "mlp", shape)


def donors_of(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights with zeros, equal numbers, both signs of zero and a few large ones among them."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator) * 0.02
    donors = {"base": base}
    for name in NAMES[1:]:
        change = torch.randn(shape, generator=generator) * 0.003
        change[torch.rand(shape, generator=generator) < 0.2] = 0.0
        donors[name] = base + change
    donors["math"][torch.rand(shape, generator=generator) < 0.05] = -0.0
    return {name: tensor.to(dtype) for name, tensor in donors.items()}


def plan_of(source: str, shape: tuple[int, ...]):
    return trace(source, [site_of(shape)], {name: DonorInfo(1) for name in NAMES}).plan


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal bits, any NaN like any other."""
    both_nan = one.isnan() & other.isnan()
    bits = {4: torch.int32, 2: torch.int16}[one.element_size()]
    return bool(((one.contiguous().view(bits) == other.contiguous().view(bits)) | both_nan).all())


def check(source: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    """Every way of running gives the eager bits, twice in a row, into every dtype."""
    donors, plan = donors_of(shape, dtype), plan_of(source, shape)
    try:
        expected = eager(source, site_of(shape), donors)
    except RecipeError:
        return
    for patience in (0.0, math.inf):
        executor = Executor(plan, workspace=Workspace(loops=Loops(patience)))
        for _ in range(2):
            assert same(executor.compute_site(0, donors), expected), f"patience {patience}"
        for target in DTYPES:
            out = torch.full(shape, math.nan, dtype=target)
            finite = executor.write_site(0, donors, out)
            rounded = expected.to(target)
            assert bool(finite) == bool(torch.isfinite(rounded).all())
            assert not finite or same(out, rounded), f"{target}, patience {patience}"


METHODS = [
    "methods.linear([base, ja, math], [0.2, 0.5, 0.3])",
    "methods.task_arithmetic(base, [ja, math], [0.7, 0.4])",
    "methods.slerp(base, ja, 0.4)",
    "methods.ties(base, [ja, math], [0.6, 0.5], [0.3, 0.7])",
    "methods.dare_linear(base, [ja, math], [0.6, 0.5], 0.4)",
    "methods.dare_ties(base, [ja, math], [0.6, 0.5], [0.5, 0.2], rescale='l1')",
    "methods.breadcrumbs(base, [ja, math], [0.6, 0.5])",
    "methods.della(base, [ja, math], [0.6, 0.5])",
    "methods.sce(base, [ja, math], 0.3)",
    "methods.model_stock(base, [ja, math])",
    "methods.nuslerp(ja, math, 0.4, along='rows')",
    "methods.karcher([base, ja, math])",
]


@pytest.mark.parametrize("body", METHODS)
@pytest.mark.parametrize("shape", [(33,), (37, 130), (300, 259)], ids=str)
def test_methods(body, shape):
    for dtype in DTYPES:
        check(source_of(body), shape, dtype)


NUMBERS = st.one_of(st.sampled_from(["0", "1", "-1", "0.5", "1e-3", "2"]), st.floats(-3, 3).map(repr))
UNARY = ["{}.abs()", "-{}", "{}.square()", "{}.sign()", "{}.relu()", "{}.abs().sqrt()", "{}.reciprocal()", "{}.clone()",
         "({}.abs() + 0.1).rsqrt()", "{} ** 2", "{} ** 3", "torch.exp({})", "({} > 0).float()", "torch.tanh({})",
         "{}.flatten().reshape(site.shape)", "{}.sort(-1).values", "{}.argsort(-1, stable=True).float()",
         "{}.cumsum(-1)", "{}.T.contiguous().T if len(site.shape) > 1 else base"]  # fmt: skip
BINARY = ["{} + {}", "{} - {}", "{} * {}", "{} / {}", "torch.where({} > {}, ja, 0.0)", "torch.maximum({}, {})",
          "torch.where(({} >= 0) & ~({} < 0), 1.0, base)", "{}.masked_fill({} == 0, 0.25)", "torch.lerp({}, {}, 0.3)",
          "torch.add({}, {}, alpha=0.7)", "torch.where(torch.rand_like({}) < 0.3, {}, 0.0)",
          "({} != 0) * {}", "torch.logical_xor({} > 0, {} > 0).float()"]  # fmt: skip
NUMBERED = [
    "{} * {}",
    "{} + {}",
    "{} - {}",
    "{} / {}",
    "{}.clamp(min={})",
    "{}.clamp(max={})",
    "torch.where({} <= {}, base, math)",
]
REDUCED = ["{}.sum()", "{}.mean()", "{}.norm()", "{}.abs().flatten().kthvalue(max(1, {}.numel() // 3)).values",
           "{}.median()", "{}.abs().amax()", "torch.quantile({}, 0.7)", "{}.abs().mean(-1, keepdim=True)",
           "{}.norm(dim=-1, keepdim=True)", "{}.mean(0, keepdim=True)", "({} > 0.01).sum()", "{}.amin()"]  # fmt: skip


@st.composite
def expressions(draw, depth: int = 4) -> str:
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from([*NAMES, "torch.rand_like(ja)", "torch.zeros_like(ja)", "torch.randn_like(base)"]))
    kind = draw(st.integers(0, 5))
    first = draw(expressions(depth - 1))
    if kind == 0:
        return f"({draw(st.sampled_from(UNARY)).format(first)})"
    if kind in (1, 2):
        return f"({draw(st.sampled_from(BINARY)).format(first, draw(expressions(depth - 1)))})"
    if kind in (3, 4):
        return f"({draw(st.sampled_from(NUMBERED)).format(first, draw(NUMBERS))})"
    reduced = draw(st.sampled_from(REDUCED)).format(first, first)
    return f"({draw(expressions(depth - 1))} * {reduced})"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(expressions(), st.sampled_from(SHAPES[:7]), st.sampled_from(DTYPES))
@example("(base * (torch.zeros_like(ja)).norm())", (5, 1), torch.float32)
@example("(base + base * base.mean(0, keepdim=True))", (5, 1), torch.float32)
def test_random_recipes(body, shape, dtype):
    check(source_of(body), shape, dtype)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(expressions(5), st.sampled_from(SHAPES), st.sampled_from(DTYPES))
def test_many_random_recipes(body, shape, dtype):
    check(source_of(body), shape, dtype)


@pytest.mark.parametrize("shape", [(300, 259), (2, 65537)], ids=str)
@pytest.mark.parametrize("k", [1, 2, 100, 30000, 77000])
@pytest.mark.parametrize(
    "operand", ["(ja - base).abs()", "(ja - base)", "ja * 1e20 - base", "(ja > base).float().abs()"]
)
def test_order_statistics_of_large_tensors(shape, k, operand):
    body = f"torch.where(({operand}) >= ({operand}).flatten().kthvalue({k}).values, ja, base)"
    for dtype in (torch.float32, torch.bfloat16):
        check(source_of(body), shape, dtype)


def test_a_table_answers_every_rank_of_a_tensor():
    from evolve.execute.order import OrderTable

    values = donors_of((300, 259), torch.bfloat16)
    for numbers in ((values["ja"].float() - values["base"].float()).abs(), values["math"].float()):
        flat = numbers.flatten()
        nonnegative = bool((flat >= 0).all())
        table = OrderTable(lambda flat=flat: flat.split(1000), nonnegative)
        ordered = flat.sort().values
        for k in [*range(1, flat.numel(), 997), flat.numel()]:
            found = table.kth(k, lambda flat=flat: flat.split(1000))
            assert found is not None and found == ordered[k - 1].item()


def test_nan_is_left_to_torch():
    body = "torch.where(ja > (ja / (base * 0)).flatten().kthvalue(3).values, ja, base)"
    check(source_of(body), (300, 259))


def test_numbers_of_a_later_plan_are_its_own():
    """Plans that share everything but numbers share kept results only where these do not depend on the numbers."""
    shape, workspace = (300, 259), Workspace(loops=Loops(0.0))
    donors = donors_of(shape, torch.bfloat16)
    for density, weight in [(0.3, 0.5), (0.31, 0.5), (0.3, 0.5), (0.9, -0.2), (1.0, 0.0), (0.0, 1.0)]:
        source = source_of(f"methods.ties(base, [ja, math], [{weight}, 0.4], {density})")
        result = Executor(plan_of(source, shape), workspace=workspace).compute_site(0, donors)
        assert same(result, eager(source, site_of(shape), donors))


def test_what_is_kept_is_bounded():
    shape = (300, 259)
    donors = donors_of(shape, torch.bfloat16)
    workspace = Workspace(kept_bytes=200_000)
    for step in range(30):
        source = source_of(f"methods.ties(base, [ja, math * {1 + step / 100}], density=0.{step + 10})")
        result = Executor(plan_of(source, shape), workspace=workspace).compute_site(0, donors)
        assert same(result, eager(source, site_of(shape), donors))
        assert workspace.kept.nbytes <= 200_000


def test_threads_of_torch_change_nothing():
    source = source_of("ja * (base * math).sum() / (base.norm() * math.norm()) + (ja @ ja.T) @ base / 1e3")
    shape = (300, 300)
    donors = donors_of(shape, torch.float32)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            results.append(Executor(plan_of(source, shape)).compute_site(0, donors))
            results.append(eager(source, site_of(shape), donors))
        finally:
            torch.set_num_threads(1)
    assert all(same(results[0], other) for other in results[1:])


def test_loops_are_compiled_when_that_pays():
    small, large = (20, 20), (1200, 2000)
    source = source_of("base + 0.5 * (ja - base) + 0.25 * (math - base)")
    for shape, expected in ((small, 0), (large, 1)):
        workspace = Workspace()
        executor = Executor(plan_of(source, shape), workspace=workspace)
        for _ in range(4):
            executor.compute_site(0, donors_of(shape, torch.bfloat16))
        assert len(workspace.loops) == expected
