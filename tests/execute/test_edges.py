"""Numbers, layouts and plans that once had other bits than eagerly, or took the process down."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from evolve.errors import RecipeError
from evolve.execute.executor import Executor
from evolve.execute.order import OrderTable
from evolve.execute.region import Loops, call
from evolve.execute.structure import structure_of
from evolve.execute.workspace import Workspace
from evolve.recipe.eager import eager
from evolve.recipe.trace import DonorInfo, trace
from evolve.site import Site

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NAMES = ("base", "ja", "math")
TIES = "methods.ties(base, [ja, math], [0.6, {}], [0.3, 0.7])"


def site_of(shape, name="layer"):
    return Site(name, 0, 0.5, "up_proj", "mlp", shape)


def source_of(body):
    return f"import torch\nfrom evolve import methods\n\ndef merge(site, base, ja, math):\n    return {body}\n"


def plan_of(body, *sites):
    return trace(source_of(body), list(sites), {name: DonorInfo(1) for name in NAMES}).plan


def donors_of(shape, seed=0):
    """Zeros of both signs, equal and subnormal numbers among ordinary ones."""
    generator = torch.Generator().manual_seed(seed)
    special = torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-42, -1e-42, 0.5, 9.0])
    donors = {}
    for name in NAMES:
        donors[name] = torch.randn(shape, generator=generator)
        chosen = torch.rand(shape, generator=generator) < 0.2
        places = torch.randint(0, len(special), (int(chosen.sum()),), generator=generator)
        donors[name][chosen] = special[places]
    return donors


def same(one, other):
    both_nan = one.isnan() & other.isnan()
    return bool(((one.contiguous().view(torch.int32) == other.contiguous().view(torch.int32)) | both_nan).all())


def check(body, shape, patiences=(0.0, math.inf), donors=None):
    donors = donors or donors_of(shape)
    expected = eager(source_of(body), site_of(shape), donors)
    for patience in patiences:
        executor = Executor(plan_of(body, site_of(shape)), workspace=Workspace(loops=Loops(patience)))
        for _ in range(2):
            assert same(executor.compute_site(0, donors), expected), f"patience {patience}"


def test_the_loops_that_a_workspace_is_given_are_used():
    loops = Loops(0.0)
    donors = donors_of((20,))
    Executor(plan_of("base + ja * 2", site_of((20,))), workspace=Workspace(loops=loops)).compute_site(0, donors)
    assert len(loops) == 1


SCALARS = {
    "a condition without dimensions": "torch.where(ja.sum() > 0, ja, base)",
    "a mask without dimensions": "ja.masked_fill(ja.sum() > 0, 0.5)",
    "a choice of truths": "torch.where(torch.where(ja > 0, base.sum() > 0, base > 0), ja, math)",
    "truths filled with a truth": "torch.where((ja > 0).masked_fill(base > 0, True), torch.exp(ja), base)",
    "a number filled in as a truth": "torch.full_like(ja, 0.5, dtype=torch.bool).float() + ja",
    "a number filled in as an integer": "torch.where(ja > 0, torch.full_like(ja, 3, dtype=torch.int64), 1) + ja",
    "no truths": "torch.isfinite(torch.zeros_like(ja, dtype=torch.bool)).float() + ja",
    "a number by a tensor": "3 / ja",
    "a root": "base.abs().sqrt()",
    "an integer beyond doubles": "ja + 4611686293305294849",
    "a number beyond float32": "ja * 1e300 + torch.where(ja < 1e300, ja, base)",
    "bounds with NaN": "torch.clamp(ja, min=math / (math * 0), max=base)",
    "bounds with zeros": "torch.clamp(ja * 0, min=math * 0)",
    "a bound of -0.0": "ja.clamp(min=-0.0) + base.clamp(max=0.0)",
}


@pytest.mark.parametrize("body", SCALARS.values(), ids=SCALARS)
def test_operands_of_every_kind(body):
    for shape in ((33,), (130, 259)):
        check(body, shape)


def test_a_number_that_torch_refuses_is_refused_compiled_too():
    from evolve.errors import RecipeError

    plan = plan_of("ja.clamp(min=1e300)", site_of((33,)))
    for patience in (0.0, math.inf):
        with pytest.raises(RecipeError, match="overflow"):
            Executor(plan, workspace=Workspace(loops=Loops(patience))).compute_site(0, donors_of((33,)))


@pytest.mark.parametrize(
    "bodies",
    [
        ["ja * torch.quantile(base.abs(), {})", "0.3", "0.7"],
        ["ja * base.norm(p={})", "2.0", "3.0", "2.0"],
        ["ja ** {}", "3.0", "2.0", "0.5"],
        ["torch.arange(0.0, {}).sum() * ja", "5.5", "7.5"],
    ],
    ids=["quantile", "norm", "pow", "arange"],
)
def test_sites_that_differ_in_one_number_are_told_apart(bodies):
    """Structures are shared by sites of one template, so they may hold no number that differs."""
    template, *numbers = bodies
    shape, workspace = (300, 259), Workspace(loops=Loops(0.0))
    donors = donors_of(shape)
    for number in numbers:
        body = template.format(number)
        result = Executor(plan_of(body, site_of(shape)), workspace=workspace).compute_site(0, donors)
        assert same(result, eager(source_of(body), site_of(shape), donors)), number


@pytest.mark.parametrize(
    "body",
    ["1 / (base.abs() * 0 * math.sign()).amax() + ja", "1 / -((base.abs() * 0 * math.sign()).amin()) + ja"],
    ids=["amax", "amin"],
)
def test_the_sign_of_an_extreme_zero(body):
    check(body, (500, 259))


@pytest.mark.parametrize(
    "body",
    ["(ja.T.contiguous().T + ja).sum(0, keepdim=True) + base",
     "(ja.T.contiguous().T * ja + base).mean(1, keepdim=True) + base",
     "(torch.linalg.qr(ja).Q + ja).sum(1, keepdim=True) + ja"],
)  # fmt: skip
def test_sums_over_tensors_that_lie_otherwise_in_memory(body):
    """torch adds in the order of memory, and elementwise operations keep that order."""
    check(body, (70, 70))


@pytest.mark.parametrize("function", ["sigmoid", "exp2", "sinh", "tanh", "erfinv"])
def test_blocks_of_odd_rows_end_where_torchs_vectors_do(function):
    check(f"torch.{function}(ja) * base.abs().mean(-1, keepdim=True)", (300, 259))


def test_long_chains_of_aliases():
    chain = "functools.reduce(lambda t, i: t.flatten().reshape(site.shape), range(700), base.abs()).median()"
    check(f"ja * __import__('functools').{chain.removeprefix('functools.')}", (16, 48))


HOSTILE = {
    "a chain of numbers": "lambda t, i: t * 0.9 + ja * t.mean(), range(800), base",
    "a chain": "lambda t, i: (t * 0.9 + ja).abs(), range(1300), base",
    "torch and loops in turn": "lambda t, i: torch.exp(t * 0.1) - ja, range(1000), base",
}


@pytest.mark.parametrize("chain", HOSTILE.values(), ids=HOSTILE)
def test_plans_as_long_as_allowed_take_seconds(chain):
    body = f"__import__('functools').reduce({chain})"
    plan = plan_of(body, site_of((300, 260)))
    assert len(plan.templates[0].nodes) > 2900
    started = time.process_time()
    for patience in (0.0, 1.0):
        Executor(plan, workspace=Workspace(loops=Loops(patience))).compute_site(0, donors_of((300, 260)))
    assert time.process_time() - started < 20


def test_results_of_several_outputs_are_freed(monkeypatch):
    """A chain of sorts holds a few results, not all of them."""
    from evolve.execute.sitework import SiteWork

    most = []
    original = SiteWork._called
    monkeypatch.setattr(
        SiteWork, "_called", lambda self, index: (most.append(len(self._several)), original(self, index))[1]
    )
    step = "(lambda v: v.values * 0.5 + v.indices * 1e-3)((t + 1.0).sort(0))"
    check(f"__import__('functools').reduce(lambda t, i: {step}, range(20), base)", (20, 30))
    assert 0 < max(most) <= 1


def test_what_is_returned_may_be_changed():
    """A small result of large tensors is kept; the caller has its own."""
    shape = (16, 48)
    donors = donors_of(shape)
    executor = Executor(plan_of("torch.cat([ja] * 40)[:16]", site_of(shape)))
    for _ in range(3):
        result = executor.compute_site(0, donors)
        assert same(result, donors["ja"])
        result.zero_()


def test_threads_share_an_executor():
    """Eight threads on the same sites of one executor, all that can be shared new to all of them."""
    shape = (300, 259)
    sites = [site_of(shape, f"layer{number}") for number in range(4)]
    donors = donors_of(shape)
    body = "methods.ties(base, [ja, math], [0.6, 0.4], 0.3) * torch.quantile((ja - base).abs(), 0.{})"
    for number in range(3):
        body_now = body.format(number + 3)
        expected = eager(source_of(body_now), sites[0], donors)
        executor = Executor(plan_of(body_now, *sites), workspace=Workspace(loops=Loops(0.0)))
        with ThreadPoolExecutor(8) as pool:
            results = list(
                pool.map(lambda name, of=executor: of.compute_site(name, donors), [s.name for s in sites] * 6)
            )
        assert all(same(result, expected) for result in results)


def test_threads_share_an_order_table():
    values = (donors_of((300, 259))["ja"] - 0.3).abs().flatten()
    ordered = values.sort().values
    table = OrderTable(lambda: values.split(5000), nonnegative=True)

    def query(k):
        assert table.nbytes > 0
        return table.kth(k, lambda: values.split(5000))

    ranks = list(range(20000, 60000, 400))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(query, ranks))
    finally:
        sys.setswitchinterval(interval)
    assert found == [ordered[k - 1].item() for k in ranks]


def resident_mb() -> float:
    import resource
    from pathlib import Path

    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_candidates():
    shape = (300, 259)
    donors = donors_of(shape)
    workspace = Workspace(kept_bytes=2**22, loops=Loops(0.0))
    sizes = []
    for number in range(300):
        body = f"methods.ties(base, [ja, math], [0.6, {number / 300}], 0.{number + 100}) ** 1.{number}"
        Executor(plan_of(body, site_of(shape)), workspace=workspace).compute_site(0, donors)
        sizes.append(resident_mb())
    assert sizes[-1] - sizes[150] < 30


def test_structures_of_long_plans_make_way():
    workspace = Workspace()
    plan = plan_of("__import__('functools').reduce(lambda t, i: t * ja + base, range(1300), base)", site_of((3, 4)))
    for number in range(100):
        workspace.prepared(plan.templates[0], plan.sites[0]._replace(shape=(3, number + 1)), True)
    assert sum(len(one.structure.nodes) for one in workspace._structures.values()) <= 2**17


WITHOUT = """
import sys
{setting}
sys.path.insert(0, {folder!r})
from test_edges import *
from evolve.execute.native import machine
from evolve.execute.native.loop import dtypes
assert {expected}
donors = {{name: one.half() for name, one in donors_of((300, 260)).items()}}
check(TIES.format(0.5), (300, 260), donors=donors)
"""


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("sys.modules['llvmlite'] = sys.modules['llvmlite.binding'] = None", "not machine.is_available()"),
        ("import llvmlite.binding\ndef unknown(): raise RuntimeError\nllvmlite.binding.get_host_cpu_features = unknown",
         "not machine.is_available()"),
        ("import platform\nplatform.machine = lambda: 'riscv64'", "torch.float16 not in dtypes()"),
    ],
    ids=["no compiler", "an unknown processor", "no float16"],
)  # fmt: skip
def test_machines_without(setting, expected):
    from pathlib import Path

    text = WITHOUT.format(setting=setting, folder=str(Path(__file__).parent), expected=expected)
    done = subprocess.run([sys.executable, "-c", text], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_shape_is_blocked_as_far_as_its_plan_allows():
    plan = plan_of("base + ja.T.contiguous().T", site_of((20, 30)))
    assert not structure_of(plan.templates[0], plan.sites[0], True).blocked & {plan.templates[0].output}
    plan = plan_of(TIES.format(0.5), site_of((20, 30)))
    assert plan.templates[0].output in structure_of(plan.templates[0], plan.sites[0], True).blocked


def test_refused_memory_is_no_mistake_of_the_recipe():
    long = torch.zeros(1).expand(2**24)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        call("outer", [long, long], {}, torch.device("cpu"), "x")
    with pytest.raises(RecipeError, match="site 'x': outer failed"):
        call("outer", [long, torch.zeros(2, 2)], {}, torch.device("cpu"), "x")
