"""executor(plan) == eager(recipe), bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.execute.executor import Executor
from evolve.plan.plan import Plan
from evolve.recipe.eager import eager, eager_totals
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

torch.set_num_threads(1)

# Random recipes take the variance of one number and transpose vectors, of which torch warns.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SHAPES = [(6,), (1,), (4, 6), (1, 5), (5, 1), (7, 7), (70, 41)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
NAMES = ("base", "ja", "math")

numbers = st.one_of(
    st.sampled_from(["0", "1", "2", "-1", "0.5", "1.0", "site.depth", "1 - site.depth", "1e-3"]),
    st.floats(-3, 3, allow_nan=False).map(repr),
)
UNARY = [
    "{}.abs()",
    "-{}",
    "torch.tanh({})",
    "{}.sign()",
    "torch.exp(-{}.abs())",
    "{}.square()",
    "torch.sigmoid({})",
    "{}.relu()",
    "{}.round()",
    "{}.flip(0)",
    "{}.roll(1, -1)",
    "{}.cumsum(-1)",
    "{}.softmax(-1)",
    "{}.sort(-1).values",
    "{}.flatten().reshape(site.shape)",
    "{}.T.T",
    "{}.T.contiguous().T",
    "{}.T.clone().T",
    "({}.T * 1.0).T",
    "{} * torch.rand_like({})",
    "{}.clone()",
    "{}.clamp(-1, 1)",
    "torch.bernoulli({}.sigmoid())",
    "{}.masked_fill({} > 0, 0)",
    "torch.nn.functional.dropout({}, 0.3)",
]
REDUCE = [
    "{}.mean()",
    "{}.sum(-1, keepdim=True)",
    "{}.norm()",
    "{}.abs().max()",
    "{}.std(0, unbiased=False)",
    "{}.abs().flatten().kthvalue(max(1, int(0.7 * {}.numel()))).values",
    "{}.abs().quantile(0.6)",
    "{}.median()",
    "{}.amax(-1, keepdim=True)",
    "torch.linalg.vector_norm({}, dim=0)",
    "{}.T.sum()",
    "{}.logsumexp(0)",
    "({} > 0).float().mean()",
    "{}.abs().topk(1, dim=-1).values",
    "{}.var(dim=-1, keepdim=True, correction=0)",
]
BINARY = [
    "({} + {})",
    "({} - {})",
    "({} * {})",
    "({} / ({}.abs() + 1))",
    "torch.maximum({}, {})",
    "torch.where({} > {}, 1.0, 0.5)",
    "torch.lerp({}, {}, 0.3)",
    "torch.add({}, {}, alpha=0.7)",
    "torch.stack([{}, {}]).mean(0)",
    "torch.stack([{}, {}]).max(0).values",
    "torch.cat([{}[:1], {}[1:]])",
    "torch.atan2({}, {})",
    "torch.hypot({}, {})",
]
METHODS = [
    "linear([{}, {}], [0.7, 0.4])",
    "task_arithmetic(base, [{}, {}], [0.5, site.depth])",
    "slerp({}, {}, 0.3)",
    "ties(base, [{}, {}], [0.6, 0.5], density=[0.4, 0.7], normalize=False)",
    "ties(base, [{}, {}], density=0.5)",
    "dare_linear(base, [{}, {}], density=0.4)",
    "dare_ties(base, [{}, {}], [0.4, 0.3], density=0.6, rescale='l1')",
    "layer_swap(site, {}, {})",
]


def _extend(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def fill(pattern: str, parts: list[str]) -> str:
        return f"({pattern.format(*(parts * 2)[: pattern.count('{}')])})"

    one = st.tuples(st.sampled_from(UNARY), children).map(lambda t: fill(t[0], [t[1]]))
    scaled = st.tuples(st.sampled_from(["({} * {})", "({} + {})", "({} - {})", "({} / (2 + {}))"]), children, numbers)
    reduced = st.tuples(st.sampled_from(["+", "*", "-"]), children, st.sampled_from(REDUCE), children)
    two = st.tuples(st.sampled_from(BINARY + METHODS), children, children)
    return st.one_of(
        one,
        scaled.map(lambda t: t[0].format(t[1], t[2])),
        reduced.map(lambda t: f"({t[1]} {t[0]} {fill(t[2], [t[3]])})"),
        two.map(lambda t: fill(t[0], [t[1], t[2]])),
    )


expressions = st.recursive(st.sampled_from(NAMES), _extend, max_leaves=7)
HEADER = "import torch\nfrom evolve.methods import *\n"


def tensors(shape, dtype, seed=3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name in NAMES}


def check(source: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    site = Site("model.layers.3.mlp.up_proj.weight", 3, 0.375, "up_proj", "mlp", shape)
    donors = tensors(shape, dtype)
    expected = eager(source, site, donors)
    plan = trace(source, [site], {name: DonorInfo(8) for name in NAMES}).plan
    result = Executor(Plan.from_json(plan.to_json())).compute_site(site.name, donors)
    assert result.dtype == torch.float32
    # NaNs compare as equal: both sides must have them in the same places.
    assert torch.equal(result.isnan(), expected.isnan())
    assert torch.equal(result.nan_to_num(), expected.nan_to_num())


@settings(max_examples=150, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=3), st.sampled_from(SHAPES), st.sampled_from(DTYPES))
def test_random_recipes(parts, shape, dtype):
    body = "".join(f"    v{i} = {part}\n" for i, part in enumerate(parts))
    joined = " + ".join(f"v{i}" for i in range(len(parts)))
    source = f"{HEADER}def merge(site, base, ja, math):\n{body}    return ({joined}).expand(site.shape)\n"
    check(source, shape, dtype)


@settings(max_examples=60, deadline=None)
@given(expressions, st.sampled_from(REDUCE), expressions, st.sampled_from(DTYPES))
def test_random_totals(gathered, reduction, merged, dtype):
    number = f"{reduction.format(*[gathered] * reduction.count('{}'))}.expand(site.shape).nansum()"
    source = f"{HEADER}def gather(site, base, ja, math):\n    return {{'n': {number}, 'm': {gathered}.norm()}}\n"
    source += f"def merge(site, base, ja, math, totals):\n    return {merged} + totals['n'] * base - totals['m']\n"
    sites = [Site(f"layers.{i}.up", i, i / 2, "up_proj", "mlp", shape) for i, shape in enumerate(SHAPES[4:])]
    given = {site.name: tensors(site.shape, dtype, seed=site.layer) for site in sites}
    totals = eager_totals(source, sites, given.__getitem__)
    executor = Executor(trace(source, sites, {name: DonorInfo(8) for name in NAMES}).plan)
    executor.gather(given.__getitem__)
    assert repr(executor.totals) == repr(totals)
    for site in sites:
        expected = eager(source, site, given[site.name], totals=totals)
        result = executor.compute_site(site.name, given[site.name])
        torch.testing.assert_close(result, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(64,), (33, 40)], ids=str)
def test_methods(method, shape):
    for dtype in DTYPES:
        check(f"{HEADER}def merge(site, base, ja, math):\n    return {method.format('ja', 'math')}\n", shape, dtype)


def test_decompositions():
    source = """
import torch
def merge(site, base, ja, math):
    left, values, right = torch.linalg.svd(ja - base, full_matrices=False)
    kept = values * (torch.arange(values.shape[0]) < 3)
    q, r = torch.linalg.qr(math)
    e, v = torch.linalg.eigh(base.T @ base)
    return base @ ((v * e) @ v.T) + (left * kept) @ right + q @ r
"""
    check(source, (12, 8), torch.float32)


def test_augmented_assignment_never_changes_a_donor():
    source = """
import torch
def merge(site, base, ja, math):
    total, mask, parts = base, base > 0, torch.zeros_like(base)
    total += ja
    total *= 0.5
    total -= 1; total /= 3; total **= 2; total %= 2; total //= 0.1
    mask &= ja > 0; mask |= math > 2; mask ^= base > 1
    before = parts
    for tensor in (ja, math):
        parts += tensor
    return total - base + mask + parts + before
"""
    check(source, (4, 3), torch.float32)


def test_literals_may_be_changed_in_place():
    source = """
import torch
def merge(site, base, ja, math):
    weights = torch.tensor([0.1, 0.2, 0.3])
    same = weights
    weights += 1
    weights.mul_(2)
    weights[0] = 5
    return base * same
"""
    check(source, (4, 3), torch.float32)


def test_seeds_and_draws():
    source = """
import torch
torch.manual_seed(11)
def merge(site, base, ja, math):
    first = torch.rand_like(base)
    torch.manual_seed(5)
    second, third = torch.randn(site.shape), torch.rand(site.shape)
    torch.manual_seed(5)
    return first + second + third - torch.randn_like(base)
"""
    check(source, (4, 3), torch.float32)


def test_python_random_numbers_are_repeatable_per_site():
    check("import random\ndef merge(site, base, ja, math):\n    return base * random.random()\n", (4,), torch.float32)
