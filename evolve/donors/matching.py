"""Matches the hidden units of one model to those of another: the permutations that bring the weights closest.

Weight matching by coordinate descent, Ainsworth, Hayase and Srinivasa, "Git Re-Basin" (2022), algorithm 1, for
transformers with rotary positions. Three kinds of groups leave a model's function as it is when permuted:

- the residual stream, one permutation for the whole model;
- the intermediate units of each MLP;
- of each attention the key-value heads, inside each of their groups the query heads, and inside each value head the
  dimensions. The dimensions of queries and keys are tied to the rotary frequencies and stay.

For one group, all others held, the best permutation is a linear assignment on the units' inner products. The
assignments need scipy, which is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from evolve.errors import DonorError
from evolve.site import Site

_MAX_SWEEPS = 100
# Another permutation must be better by this share, or rounding could make the descent go round in circles.
_LEAST_GAIN = 1e-6
# The group along each axis of a weight; a bias has the first axis only. None: this axis is never permuted.
_AXES: Mapping[str, tuple[str | None, ...]] = {
    "embed": (None, "residual"),
    "head": (None, "residual"),
    "q_proj": ("queries", "residual"),
    "k_proj": ("keys", "residual"),
    "v_proj": ("values", "residual"),
    "o_proj": ("residual", "outputs"),
    "gate_proj": ("units", "residual"),
    "up_proj": ("units", "residual"),
    "down_proj": ("residual", "units"),
    **dict.fromkeys(("input_norm", "post_norm", "pre_mlp_norm", "post_mlp_norm", "final_norm"), ("residual",)),
    **dict.fromkeys(("q_norm", "k_norm"), (None,)),
}


@dataclass
class Heads:
    """One attention's permutations: the matched model's unit for each unit of the reference.

    ``keys`` (key-value heads,), ``queries`` (query heads,), ``values`` (key-value heads, head dimension): the
    dimension inside the value head that ``keys`` names.
    """

    keys: Tensor
    queries: Tensor
    values: Tensor


@dataclass
class Permutations:
    """What to permute: ``residual`` (width,), ``units`` and ``heads`` per layer."""

    residual: Tensor
    units: list[Tensor]
    heads: list[Heads]

    @classmethod
    def identity(cls, config: Any) -> Permutations:
        """The permutations that change nothing. ``config`` is a transformers configuration."""
        keys, queries, dimensions = _head_counts(config)
        layers = range(config.num_hidden_layers)
        inner = torch.arange(dimensions).repeat(keys, 1)
        return cls(
            torch.arange(config.hidden_size),
            [torch.arange(config.intermediate_size) for _ in layers],
            [Heads(torch.arange(keys), torch.arange(queries), inner.clone()) for _ in layers],
        )

    def apply(self, site: Site, tensor: Tensor) -> Tensor:
        """The permuted parameter; a new tensor."""
        for axis, group in enumerate(axes_of(site)):
            if group is not None:
                tensor = tensor.index_select(axis, self.index(group, site.layer).to(tensor.device))
        return tensor

    def index(self, group: str, layer: int | None) -> Tensor:
        """The order along an axis of ``group``."""
        if group == "residual":
            return self.residual
        assert layer is not None
        if group == "units":
            return self.units[layer]
        heads = self.heads[layer]
        count, dimensions = heads.values.shape
        plain = torch.arange(dimensions)
        if group == "keys":
            return (heads.keys[:, None] * dimensions + plain).flatten()
        if group == "values":
            return (heads.keys[:, None] * dimensions + heads.values).flatten()
        if group == "queries":
            return (heads.queries[:, None] * dimensions + plain).flatten()
        inner = heads.values.repeat_interleave(len(heads.queries) // count, dim=0)
        return (heads.queries[:, None] * dimensions + inner).flatten()


def axes_of(site: Site) -> tuple[str | None, ...]:
    """The group along each axis of a site. Raises DonorError for a role whose symmetries are not known."""
    try:
        return _AXES[site.role][: len(site.shape)]
    except KeyError:
        raise DonorError(
            f"{site.name} cannot be aligned: the symmetries of the role {site.role!r} are unknown; merge it unaligned"
        ) from None


def match(
    reference: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
    sites: Sequence[Site],
    config: Any,
    device: str | torch.device = "cpu",
) -> Permutations:
    """The permutations of ``other`` that bring it closest to ``reference``, as far as coordinate descent finds them.

    ``config`` is the transformers configuration of both. Raises DonorError for an unknown architecture.
    """
    return _Matching(reference, other, sites, config, torch.device(device)).run()


class _Matching:
    def __init__(
        self,
        reference: Mapping[str, Tensor],
        other: Mapping[str, Tensor],
        sites: Sequence[Site],
        config: Any,
        device: torch.device,
    ) -> None:
        self._reference, self._other, self._device = reference, other, device
        self._layers = int(config.num_hidden_layers)
        self._found = Permutations.identity(config)
        self._members: dict[tuple[str, int | None], list[tuple[Site, int]]] = {}
        for site in sites:
            for axis, group in enumerate(axes_of(site)):
                if group is not None:
                    layer = None if group == "residual" else site.layer
                    self._members.setdefault((group, layer), []).append((site, axis))

    def run(self) -> Permutations:
        # At first only weights count whose other axis is fixed or matched already; the others would be noise.
        self._match_residual(settled=False)
        for _ in range(_MAX_SWEEPS):
            changed = [
                *(self._match_heads(layer) for layer in range(self._layers)),
                *(self._match_units(layer) for layer in range(self._layers)),
                self._match_residual(settled=True),
            ]
            if not any(changed):
                break
        return self._found

    def _match_residual(self, settled: bool) -> bool:
        gains = self._gains("residual", None, only_fixed=not settled)
        best = _assign(gains)
        if not _better(_gain(gains, best), _gain(gains, self._found.residual)):
            return False
        self._found.residual = best
        return True

    def _match_units(self, layer: int) -> bool:
        gains = self._gains("units", layer)
        best = _assign(gains)
        if not _better(_gain(gains, best), _gain(gains, self._found.units[layer])):
            return False
        self._found.units[layer] = best
        return True

    def _match_heads(self, layer: int) -> bool:
        """Matches pairs of key-value groups inside first, then the groups."""
        held = self._found.heads[layer]
        count, dimensions = held.values.shape
        each = len(held.queries) // count
        keys = _by_head(self._gains("keys", layer), count, dimensions)
        values = self._gains("values", layer).reshape(count, dimensions, count, dimensions)
        queries = _by_head(self._gains("queries", layer), count * each, dimensions)
        outputs = self._gains("outputs", layer).reshape(count, each, dimensions, count, each, dimensions)
        queries = queries.reshape(count, each, count, each)
        pairs: dict[tuple[int, int], _Pair] = {}
        gains = torch.empty(count, count, dtype=torch.float64)
        for mine in range(count):
            for theirs in range(count):
                pair = _match_pair(values[mine, :, theirs], queries[mine, :, theirs], outputs[mine, :, :, theirs])
                pairs[mine, theirs] = pair
                gains[mine, theirs] = keys[mine, theirs] + pair.gain
        best = _assign(gains)
        now = sum(
            float(keys[mine, theirs])
            + _pair_gain(
                values[mine, :, theirs],
                queries[mine, :, theirs],
                outputs[mine, :, :, theirs],
                held.queries[mine * each : (mine + 1) * each] - theirs * each,
                held.values[mine],
            )
            for mine, theirs in enumerate(held.keys.tolist())
        )
        if not _better(_gain(gains, best), now):
            return False
        chosen = [pairs[mine, theirs] for mine, theirs in enumerate(best.tolist())]
        order = [theirs * each + pair.queries for theirs, pair in zip(best.tolist(), chosen, strict=True)]
        self._found.heads[layer] = Heads(best, torch.cat(order), torch.stack([pair.values for pair in chosen]))
        return True

    def _gains(self, group: str, layer: int | None, only_fixed: bool = False) -> Tensor:
        """Inner products of the reference's units (rows) and the other's (columns), all weights of a group summed."""
        total: Tensor | None = None
        for mine, theirs in self._units(group, layer, only_fixed):
            products = mine @ theirs.T
            total = products if total is None else total.add_(products)
        assert total is not None
        return total.cpu()

    def _units(self, group: str, layer: int | None, only_fixed: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Each weight of the group as (units, the rest), of the reference and of the other, whose rest is permuted."""
        for site, axis in self._members[group, layer]:
            rest = [(other, name) for other, name in enumerate(axes_of(site)) if other != axis and name is not None]
            if only_fixed and rest:
                continue
            mine = self._reference[site.name].to(self._device, torch.float32)
            theirs = self._other[site.name].to(self._device, torch.float32)
            for other, name in rest:
                theirs = theirs.index_select(other, self._found.index(name, site.layer).to(self._device))
            count = mine.shape[axis]
            yield mine.movedim(axis, 0).reshape(count, -1), theirs.movedim(axis, 0).reshape(count, -1)


@dataclass(frozen=True)
class _Pair:
    """The best way to lay one key-value group on another."""

    gain: float
    queries: Tensor
    values: Tensor


def _match_pair(values: Tensor, queries: Tensor, outputs: Tensor) -> _Pair:
    """Dimensions and query heads in turn. ``values`` (d, d), ``queries`` (h, h), ``outputs`` (h, d, h, d): gains."""
    inner = _assign(values)
    order = _assign(queries + _over_dimensions(outputs, inner))
    gain = _pair_gain(values, queries, outputs, order, inner)
    while True:
        turned = _assign(values + _over_heads(outputs, order))
        moved = _assign(queries + _over_dimensions(outputs, turned))
        reached = _pair_gain(values, queries, outputs, moved, turned)
        if not _better(reached, gain):
            return _Pair(gain, order, inner)
        inner, order, gain = turned, moved, reached


def _over_dimensions(outputs: Tensor, inner: Tensor) -> Tensor:
    """Gains of query heads (h, h) when the dimensions are permuted by ``inner``."""
    return outputs[:, torch.arange(len(inner)), :, inner].sum(dim=0)  # separated indices: their axis comes first


def _over_heads(outputs: Tensor, order: Tensor) -> Tensor:
    """Gains of dimensions (d, d) when the query heads are permuted by ``order``."""
    return outputs[torch.arange(len(order)), :, order].sum(dim=0)


def _pair_gain(values: Tensor, queries: Tensor, outputs: Tensor, order: Tensor, inner: Tensor) -> float:
    return _gain(queries, order) + _gain(values + _over_heads(outputs, order), inner)


def _by_head(gains: Tensor, heads: int, dimensions: int) -> Tensor:
    """Gains of whole heads (heads, heads), whose dimensions keep their order."""
    return gains.reshape(heads, dimensions, heads, dimensions).diagonal(dim1=1, dim2=3).sum(dim=2)


def _assign(gains: Tensor) -> Tensor:
    """The permutation with the largest sum of gains: a column for each row."""
    from scipy.optimize import linear_sum_assignment

    return torch.from_numpy(linear_sum_assignment(gains.numpy(), maximize=True)[1])


def _gain(gains: Tensor, permutation: Tensor) -> float:
    return float(gains[torch.arange(len(permutation)), permutation].double().sum())


def _better(gain: float, than: float) -> bool:
    return gain > than + _LEAST_GAIN * abs(than)


def _head_counts(config: Any) -> tuple[int, int, int]:
    """Key-value heads, query heads, dimensions of a head."""
    queries = int(config.num_attention_heads)
    dimensions = getattr(config, "head_dim", None) or config.hidden_size // queries
    return int(getattr(config, "num_key_value_heads", None) or queries), queries, int(dimensions)
