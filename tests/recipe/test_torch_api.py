"""Every supported call against torch itself: dtype, shape and bits."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F

from evolve.errors import CandidateError
from evolve.plan import elementwise

SHAPES = [(6,), (4, 6), (3, 3), (1, 5), (5, 1), (1,), (2, 3, 4), (67, 45)]

UNARY = f"{elementwise.FLOAT_UNARY} {elementwise.NUMERIC_UNARY} {elementwise.PREDICATES}".split()
UNARY += ["frac", "sign", "square", "bitwise_not", "positive"]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "floor_divide",
    "remainder",
    "fmod",
    "pow",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "atan2",
    "copysign",
    "xlogy",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
]
OPERATORS = [
    "x + {}",
    "{} + x",
    "x - {}",
    "{} - x",
    "x * {}",
    "{} * x",
    "x / {}",
    "{} / x",
    "x ** {}",
    "{} ** x",
    "x // {}",
    "{} // x",
    "x % {}",
    "{} % x",
    "x > {}",
    "{} < x",
    "x == {}",
    "x != {}",
    "x <= {}",
    "{} >= x",
]

EXPRESSIONS = """
x.sum() ; x.sum(0) ; x.sum(-1, keepdim=True) ; torch.sum(x, dim=(0,)) ; x.mean() ; x.mean(dim=-1) ; x.mean((0,), True)
x.std() ; x.var() ; x.std(0) ; x.var(dim=-1, unbiased=False) ; x.std(-1, keepdim=True) ; x.var(0, correction=0) ; x.std(False)
x.prod() ; x.prod(0) ; x.amax() ; x.amin(0) ; x.amax(-1, keepdim=True) ; x.max() ; x.min() ; x.max(0) ; x.min(-1, keepdim=True)
torch.max(x, y) ; torch.min(x, other=y) ; torch.aminmax(x) ; (x > 0).all() ; (x > 0).any(0) ; x.all() ; x.count_nonzero()
x.argmax() ; x.argmax(keepdim=True) ; x.mean(dim=None, keepdim=True) ; x.std(dim=None, keepdim=True) ; x.amax(keepdim=True) ; x.norm(keepdim=True) ; x.var(keepdim=True) ; x.logsumexp(()) ; x.sum(()) ; x.mean(dim=()) ; x.count_nonzero(()) ; x.var(()) ; x.amin(()) ; x.norm(dim=()) ; x.argmin(0) ; x.argmax(-1, keepdim=True) ; x.nansum() ; x.nanmean(0) ; (x > 0).sum() ; (x > 0).sum(0) ; (x > 0).float().mean()
x.norm() ; x.norm(p=1) ; x.norm(dim=-1) ; torch.norm(x, p=3, dim=0, keepdim=True) ; x.norm(float("inf")) ; x.norm(-float("inf"), 0)
torch.linalg.norm(x) ; torch.linalg.norm(x, 1, dim=0) ; torch.linalg.norm(x, 2) ; torch.linalg.vector_norm(x, 0) ; x.norm(p=0.5)
torch.linalg.matrix_norm(x) ; torch.linalg.matrix_norm(x, "nuc") ; torch.linalg.matrix_norm(x, float("inf")) ; torch.linalg.norm(x, 2, dim=(0, 1))
torch.linalg.matrix_norm(x, 2) ; torch.linalg.matrix_norm(x, -1, keepdim=True) ; torch.dist(x, y) ; torch.dist(x, y, 1)
x.logsumexp(0) ; torch.logsumexp(x, dim=-1, keepdim=True) ; x.cumsum(0) ; x.cumprod(-1) ; x.cummax(0) ; torch.cummin(x, dim=-1)
x.softmax(-1) ; torch.softmax(x, dim=0) ; F.softmax(x, dim=-1) ; x.log_softmax(0) ; F.log_softmax(x, dim=-1)
x.median() ; x.median(0) ; x.median(dim=-1, keepdim=True) ; x.kthvalue(1) ; x.kthvalue(k=1, dim=0, keepdim=True) ; x.flatten().kthvalue(3).values
x.topk(1) ; torch.topk(x, 1, dim=0, largest=False) ; x.flatten().topk(4)[0] ; x.sort() ; x.sort(0, descending=True) ; x.argsort(-1)
torch.sort(x, dim=0, stable=True) ; x.argsort(dim=0, descending=True).argsort(0) ; torch.msort(x) ; x.flatten().sort().values[2]
x.quantile(0.3) ; torch.quantile(x, 0.9, dim=0) ; x.quantile(0.25, dim=-1, keepdim=True) ; x.quantile(torch.tensor([0.1, 0.5])) ; x.quantile(1.0)
x.quantile(0.4, interpolation="nearest") ; x.quantile(0.4, interpolation="lower") ; x.quantile(0.35, interpolation="higher") ; x.quantile(0.3, interpolation="midpoint")
F.cosine_similarity(x, y, dim=0) ; torch.cosine_similarity(x, y, dim=-1) ; F.cosine_similarity(x.flatten(), y.flatten(), dim=0)
F.normalize(x, dim=0) ; F.normalize(x, p=1, dim=-1) ; F.relu(x) ; torch.sigmoid(x) ; F.gelu(x) ; F.gelu(x, approximate="tanh") ; F.silu(x)
F.softplus(x) ; F.logsigmoid(x) ; x.relu() ; x.sgn() ; x.nan_to_num() ; torch.nan_to_num(x / (x - x), nan=1.0, posinf=2.0, neginf=-2.0)
torch.where(x > 0, x, y) ; torch.where(x > y, 1.0, 0.0) ; torch.where(x > 0, 1, 0) ; torch.where(x > 0, x, 0) ; x.where(x > 0, y) ; torch.where(x > 0, 2, y)
x.clamp(-0.5, 0.5) ; x.clamp(min=0) ; torch.clamp(x, max=0.3) ; x.clamp(y, y + 1) ; x.clamp_min(0.1) ; x.clamp_max(0.1) ; x.clip(0, 1) ; x.clamp(min=y)
torch.lerp(x, y, 0.3) ; x.lerp(y, 0.8) ; torch.lerp(x, y, y.abs()) ; torch.addcmul(x, y, y, value=0.5) ; torch.addcdiv(x, y, x, value=2) ; torch.add(x, y, alpha=0.3)
torch.sub(x, y, alpha=2) ; x.add(y, alpha=-1.5) ; x.masked_fill(x > 0, 0.0) ; x.masked_fill(x > 0, 1) ; torch.isclose(x, y) ; torch.div(x, y, rounding_mode="floor")
torch.div(x, 0.3, rounding_mode="trunc") ; torch.rsub(x, 1.0) ; torch.true_divide(x, y) ; torch.multiply(x, y) ; torch.subtract(x, 1)
x.bool() ; x.long() ; x.float() ; (x > 0).float() ; (x > 0).long() ; (x > 0).to(torch.float32) ; x.to(y) ; x.to("cpu") ; (x > 0).type(torch.float32) ; (x > 0).type_as(x)
x.to(dtype=torch.bool) ; x.clone() ; x.detach() ; x.contiguous() ; ~(x > 0) ; (x > 0) & (y > 0) ; (x > 0) | (y > 0) ; (x > 0) ^ (y > 0) ; (x > 0) * x ; (x > 0) + (y > 0)
(x > 0) * (y > 0) ; (x > 0) == (y > 0) ; x.sign() == y.sign() ; (x * 4).long() + 1 ; (x * 4).long() * 0.5 ; (x * 4).long() // 2 ; (x * 4).long() % 3 ; (x * 4).long() ** 2
-(x * 4).long() ; (x * 4).long() / 2 ; (x > 0) * 2 ; (x > 0) * 2.5 ; 1 - (x > 0).float() ; (x * 4).long() & 3 ; (x * 4).long() | 1 ; (x * 4).long().float() ; (x * 4).long().sum()
x.reshape(-1) ; x.view(-1) ; x.flatten() ; x.reshape(x.numel(), 1) ; x.flatten(0, 0) ; x.ravel() ; x.flatten().reshape(x.shape) ; x.flatten().view_as(x) ; x.unflatten(0, (1, -1))
x.unsqueeze(0) ; x.unsqueeze(-1) ; x[None] ; x[..., None] ; x.squeeze() ; x.unsqueeze(0).squeeze(0) ; x.squeeze(0) ; x.squeeze(-1) ; x.sum(0, keepdim=True).squeeze(0)
x.T ; x.t() ; x.mT ; x.transpose(0, -1) ; x.permute(*reversed(range(x.ndim))) ; torch.permute(x, tuple(range(x.ndim))) ; x.swapaxes(0, -1) ; x.movedim(0, -1) ; torch.moveaxis(x, -1, 0)
x.transpose(0, -1).sum(0) ; x.transpose(0, -1).contiguous().flatten() ; x.transpose(0, -1).mean(-1) ; (x.transpose(0, -1) * 2).sum() ; (x.transpose(0, -1) + 1).cumsum(0)
x.expand(3, *x.shape) ; x.sum(0, keepdim=True).expand_as(x) ; x.mean().expand(x.shape) ; torch.broadcast_to(x.mean(), x.shape) ; x.unsqueeze(0).expand(2, *(-1,) * x.ndim) ; x.expand(3, *x.shape).sum(0)
torch.broadcast_tensors(x, y.mean()) ; x.repeat(*(2,) * x.ndim) ; x.repeat(2, *(1,) * x.ndim) ; torch.repeat_interleave(x, 2, dim=0) ; x.repeat_interleave(2) ; torch.tile(x, (2,) * x.ndim)
torch.cat([x, y]) ; torch.cat((x, y, x), dim=-1) ; torch.concat([x, y > 0], 0) ; torch.stack([x, y]) ; torch.stack((x, y, x), dim=-1).mean(-1) ; torch.stack([x, y], 0).sum(0) ; torch.hstack([x, y]) ; torch.vstack([x, y])
torch.stack([x.mean(), y.mean()]).softmax(0) ; torch.stack([x, y]).abs().max(dim=0).values ; torch.stack([x, y]).median(0)[0] ; torch.stack([x, y, x + y]).var(0)
x.narrow(0, 0, 1) ; torch.narrow(x, -1, -1, 1) ; x.chunk(2) ; x.split(2, dim=-1) ; torch.split(x, [1, x.shape[0] - 1]) ; x.tensor_split(2) ; torch.tensor_split(x, (1,)) ; x.unbind(0) ; x.select(0, 0)
x.roll(1) ; x.roll(1, 0) ; torch.roll(x, shifts=(1,), dims=(-1,)) ; x.flip(0) ; torch.flip(x, [0, -1]) ; torch.fliplr(x) ; torch.flipud(x) ; x.tril() ; x.triu(1) ; torch.tril(x, diagonal=-1) ; x.diff() ; x.diff(dim=0)
x.diagonal() ; torch.diagonal(x, 1) ; torch.diag(x) ; x.diag() ; torch.diag(x.flatten()[:3]) ; torch.trace(x) ; x.diagonal(0, -2, -1)
x[0] ; x[-1] ; x[:1] ; x[1:] ; x[::2] ; x[..., 0] ; x[..., :2] ; x[0:0] ; x[None, 0] ; x[:, None] ; x[0, ...] ; x[-1:] ; x[..., -1, None] ; x[[0]] ; x[torch.tensor([0, -1])] ; x[:, 0] ; x[0, 0] ; x[:, :2] ; x[0][0]
torch.cat([x[:1], y[1:]]) ; torch.cat([x[:0], y]) ; x.index_select(0, torch.tensor([0, 0])) ; x.gather(0, x.argsort(0)) ; torch.gather(x, -1, x.argsort(-1)) ; x.flatten()[x.argmax()] ; x[x.argmax(0) * 0] ; x[x.flatten().argsort()[:1] * 0]
torch.zeros_like(x).scatter(-1, x.topk(1).indices, 1.0) ; x.scatter(0, torch.zeros_like(x).long(), y) ; x.unfold(0, 1, 1) ; x.flatten().unfold(0, 1, 2)
x @ x.T ; x.T @ x ; torch.matmul(x, y.transpose(-1, -2)) ; x @ x[0] ; x.flatten() @ y.flatten() ; torch.dot(x.flatten(), y.flatten()) ; torch.outer(x.flatten(), y.flatten()[:3]) ; torch.mm(x, y.T) ; torch.mv(x, x[0]) ; x.T.mm(y)
torch.einsum("ij,kj->ik", x, y) ; torch.einsum("i,i->", x, y) ; torch.einsum("ij->j", x) ; torch.einsum("ii->i", x) ; torch.einsum("ij,ij->i", x, y) ; torch.einsum("ij,jk", x, y.T) ; torch.einsum("i,j", x, y)
torch.linalg.svdvals(x) ; torch.linalg.svd(x, full_matrices=False) ; torch.linalg.svd(x) ; torch.svd(x) ; torch.linalg.qr(x) ; torch.linalg.qr(x, mode="complete") ; torch.qr(x) ; torch.linalg.pinv(x) ; torch.pinverse(x)
torch.linalg.eigh(x @ x.T) ; torch.linalg.eigvalsh(x.T @ x) ; torch.linalg.inv(x.T @ x + torch.eye(x.shape[-1])) ; torch.linalg.solve(x.T @ x + torch.eye(x.shape[-1]), x.T) ; torch.linalg.solve(x, y) ; torch.inverse(x) ; torch.linalg.det(x) ; torch.det(x)
torch.linalg.cholesky(x @ x.T + 2 * torch.eye(x.shape[0])) ; torch.matrix_exp(x) ; torch.linalg.matmul(x, y.T) ; torch.linalg.diagonal(x)
torch.zeros(3) ; torch.ones(2, 3) ; torch.zeros((2, 2)) ; torch.full((2,), 0.5) ; torch.full((2, 2), 3) ; torch.full((3,), True) ; torch.eye(3) ; torch.eye(2, 4) ; torch.linspace(0, 1, 5) ; torch.arange(5) ; torch.arange(0, 1, 0.25)
torch.arange(2, 8, 3) ; torch.arange(5, 0, -2) ; torch.arange(0.5, 2.6) ; torch.arange(4, dtype=torch.float32) ; torch.zeros(2, dtype=torch.long) ; torch.ones(2, dtype=torch.bool) ; torch.arange(end=3) ; torch.arange(0)
torch.zeros_like(x) ; torch.ones_like(x > 0) ; torch.full_like(x, 0.25) ; torch.ones_like(x, dtype=torch.bool) ; x.new_zeros(2) ; x.new_full((2,), 1.5) ; x.new_ones((2, 2)) ; x.new_tensor([1.0, 2.0]) ; torch.full_like(x, 3)
torch.rand(3) ; torch.randn(2, 2) ; torch.rand_like(x) ; torch.randn_like(x) ; torch.bernoulli(torch.full_like(x, 0.4)) ; torch.bernoulli(x, 0.3) ; F.dropout(x, 0.4) ; F.dropout(x, p=0.4, training=False) ; torch.rand(x.shape) ; torch.rand(size=(2, 2)) ; x.bernoulli(0.5)
torch.rand_like(x) + torch.rand_like(x) ; torch.rand_like(torch.tensor([1.0, 2.0])) ; torch.rand_like(x) < 0.5 ; torch.argsort(torch.rand(5))
torch.tensor(0.3) * x ; torch.tensor([0.25]) + x ; x * torch.tensor([[0.5]]) ; torch.tensor(2.0) - x ; torch.tensor(2.0) / x ; torch.tensor(2.0) ** x ; torch.tensor([True]) & (x > 0) ; torch.tensor([-0.0]) * torch.tensor([0.0]) * x ; torch.tensor(2.0) > x
torch.tensor([0.5]).add(x) ; torch.tensor([1.0, 2.0]).sum() * x ; x + torch.tensor(2) ; torch.maximum(x, torch.tensor(0.0)) ; torch.tensor(3.0).expand(2) ; torch.as_tensor(0.5) * x
abs(x) ; -x ; +x ; -(-x) ; x * 1.0 ; 1 * x ; x / 1 ; x - 0 ; x + 0 ; x.T * 1.0 ; (x.expand(2, *x.shape) * 1.0).sum(0) ; x * 0.1 + x * 0.1 ; sum([x, y, x]) ; x * 2 - x * 2.0 ; x ** 2 - x ** 2.0 ; x ** 0.5 ; x ** -1 ; x ** 3 ; 2 ** x
x.size(0) * x ; x * x.numel() ; x / len(x) ; [row * 2 for row in x] ; x.shape[0] + x ; x.dim() * x ; x.mul(y).div(3).sub(1).add(2) ; x.pow(2).sum().sqrt() ; x.square().mean().sqrt() ; torch.pow(2, x) ; torch.remainder(x, 0.3) ; x.data * 2
x.numel() * y ; torch.numel(x) * y ; x[:, x.argmax(0) * 0 - 1] ; x[x.argsort(0)[:1] - 1] ; x.is_floating_point() * y ; torch.special.expit(x) ; torch.special.erf(x) ; torch.absolute(x) ; torch.clip(x, 0.0, 1.0) ; F.threshold(x, 0.1, 0.0)
x.T.contiguous().sum(0) ; x.T.contiguous().norm() ; x.T.clone().sum(0) ; x[:1].expand(x.shape).clone().sum(0) ; x[:1].expand(x.shape).contiguous().sum() ; (-(-x[:1].expand(x.shape))).sum() ; x.flatten()[::2].ravel().sum() ; (x.T * 2).contiguous().mean(0)
x.T.flatten().sum() ; x.T.exp().sum(0) ; x[:, ::2].exp().sum(1) ; x.T.softmax(0).sum(0) ; torch.einsum("ij,ij->", x, y) ; torch.einsum("zy,zy->", x, y) ; torch.einsum("BA,CA->BC", x, y) ; (x.T + y.reshape(x.T.shape)).sum(0) ; x.T.contiguous() @ x
"""  # noqa: E501
CASES = [case.strip() for line in EXPRESSIONS.strip().splitlines() for case in line.split(" ; ")]
CASES += [
    f"torch.{name}({operand})" for name in UNARY for operand in ("x", "x > 0", "(x * 4).long()", "x.transpose(0, -1)")
]
CASES += [
    f"torch.{name}({left}, {right})"
    for name in BINARY
    for left, right in (
        ("x", "y"),
        ("x", "y > 0"),
        ("(x * 4).long()", "x"),
        ("x > 0", "y > 0"),
        ("x", "x[:1]"),
        ("x", "y.mean()"),
    )
]
CASES += [
    pattern.format(number) for pattern in OPERATORS for number in ("2", "0.5", "-3", "y", "True", "torch.tensor(1.5)")
]
CASES += [f"({pattern})".replace("x", "m").format("2").replace("m", "(x * 4).long()", 1) for pattern in OPERATORS[:10]]


def tensors(shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=generator) for name in "xy"}


def compare(expression: str, shape: tuple[int, ...], traced, eagerly) -> str | None:
    """None when the traced result is torch's to the bit, otherwise what differs."""
    function = eval(f"lambda x, y: {expression}", {"torch": torch, "F": F})
    donors = tensors(shape)
    refused = wanted = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = eagerly(function, donors)
        except (RuntimeError, TypeError, IndexError, ValueError, CandidateError) as error:
            refused = error
        try:
            pairs = traced(function, donors)
        except (CandidateError, TypeError) as error:
            return None if refused is not None else f"refused: {error}"
    if refused is not None:
        return f"torch refuses: {refused}"
    if len(pairs) != len(wanted):
        return f"{len(pairs)} results, torch gives {len(wanted)}"
    for (symbol, result), expected in zip(pairs, wanted, strict=True):
        if (symbol.dtype, symbol.shape) != (expected.dtype, expected.shape):
            return f"inferred {symbol.dtype} {symbol.shape}, torch gives {expected.dtype} {expected.shape}"
        if (result.dtype, result.shape) != (expected.dtype, expected.shape):
            return f"computed {result.dtype} {result.shape}, torch gives {expected.dtype} {expected.shape}"
        if not torch.equal(result.nan_to_num(7.5), expected.nan_to_num(7.5)):
            return f"values differ by up to {(result - expected).abs().max()}"
    return None


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_call_has_torchs_dtype_shape_and_bits(shape, traced, eagerly):
    differences = {case: compare(case, shape, traced, eagerly) for case in CASES}
    assert {case: what for case, what in differences.items() if what is not None} == {}
