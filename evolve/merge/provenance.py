"""Which donor a merged model's parameters come from: shares and cosines for every layer and role.

Take one layer and role (weight and bias together). With theta_0 the reference donor (``base``, else the first),
delta = merged - theta_0 and tau_i = theta_i - theta_0 for every other donor i:

- cosine_i = <delta, tau_i> / (||delta|| ||tau_i||);
- the coefficients c minimise ||delta - sum_i c_i tau_i||. They come from the Gram matrix of the tau scaled to length
  one and its pseudo-inverse, without a ridge: of donors that cannot be told apart each gets an equal part;
- share_i = |c_i| ||tau_i|| / sum_j |c_j| ||tau_j||;
- residual = ||delta - sum_i c_i tau_i|| / ||delta||: what no weighting of the donors explains.

A number that does not exist is None: cosines, shares and residual where delta is zero, the cosine of a donor whose tau
is zero. The whole model is measured the same way, its inner products summed before solving. Merged means the numbers in
the live model, after rounding. In a stack each layer is compared with the donors' layer that its entry names, and a
scale that was folded into the weights is first taken out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from evolve.donors.donors import Donors
from evolve.donors.sites import architecture, layer_name
from evolve.merge.stack import cumulative_scales, fold
from evolve.plan.plan import StackEntry
from evolve.site import Site

Matrix = npt.NDArray[np.float64]

# On a CPU the rows of a block stay in its second-level cache; on a GPU larger blocks hide the launches.
_BLOCK_ELEMENTS = {"cpu": 2**15, "cuda": 2**20}
# Directions of the scaled Gram matrix below this share of the largest are rounding, not a difference between donors.
_SMALLEST_DIRECTION = 1e-10
_DECIMALS = 6


class Part(NamedTuple):
    """A parameter of the merged model: its name and layer there, the site it is made from, the scale folded in."""

    name: str
    layer: int | None
    site: Site
    scale: float


class Provenance:
    """Measures live models against the donors. The donors' own inner products are computed once and kept."""

    def __init__(self, donors: Donors) -> None:
        self._donors = donors
        self._base = donors.reference.name
        self._others = tuple(name for name in donors if name != self._base)
        self._family = architecture(donors.reference.config.model_type)
        self._grams: dict[str, Matrix] = {}

    def measure(self, model: nn.Module, stack: Sequence[StackEntry] | None = None) -> dict[str, Any]:
        """The provenance of a model that a plan with this ``stack`` was written into, as plain data.

        ``{"base": name, "model": numbers, "places": [{"layer", "role", **numbers}, ...]}`` where numbers are ``norm``
        (of delta), ``residual`` and ``donors``: name -> ``share``, ``cosine``, ``coefficient``. Places are in the
        model's order; layer is None outside the layers. Six decimals, six significant digits for ``norm``.
        """
        parameters = dict(model.named_parameters())
        places: dict[tuple[int | None, str], Matrix] = {}
        with torch.no_grad():
            for part in _parts(self._donors.sites, stack):
                place = (part.layer, part.site.role)
                products = self._products(parameters[part.name], part)
                places[place] = places[place] + products if place in places else products
        return {
            "base": self._base,
            "model": self._numbers(sum(places.values(), np.zeros(()))),
            "places": [{"layer": layer, "role": role, **self._numbers(p)} for (layer, role), p in _ordered(places)],
        }

    def _products(self, merged: Tensor, part: Part) -> Matrix:
        """Inner products of delta and the tau of one parameter: (1 + others) squared, delta first."""
        name, flat = part.site.name, merged.detach().reshape(-1)
        base = self._donors[self._base].tensors[name].reshape(-1)
        others = [self._donors[other].tensors[name].reshape(-1) for other in self._others]
        known = self._grams.get(name)
        against = len(others) + 1 if known is None else 1
        products = torch.zeros(len(others) + 1, against, dtype=torch.float64, device=flat.device)
        count = flat.numel()
        block = min(count, _BLOCK_ELEMENTS.get(flat.device.type, _BLOCK_ELEMENTS["cpu"]))
        rows = torch.empty(len(others) + 2, block, device=flat.device)  # theta_0, delta, tau_1, ...
        exact = torch.empty(len(others) + 1, block, dtype=torch.float64, device=flat.device)
        for start in range(0, count, block):
            window = slice(start, min(start + block, count))
            used = rows[:, : window.stop - start]
            used[0].copy_(base[window])
            used[1].copy_(fold(flat[window].float(), part.site.role, 1 / part.scale, self._family))
            for row, other in zip(used[2:], others, strict=True):
                row.copy_(other[window])
            wide = exact[:, : window.stop - start].copy_(used[1:].sub_(used[0]))
            products += wide @ wide[:against].T
        measured: Matrix = products.cpu().numpy()
        if known is None:
            self._grams[name] = measured[1:, 1:].copy()
            return measured
        return np.block([[measured[:1], measured[1:].T], [measured[1:], known]])

    def _numbers(self, products: Matrix) -> dict[str, Any]:
        found = _solve(products)
        donors = {
            other: {
                "share": _number(found.shares[index]),
                "cosine": _number(found.cosines[index]),
                "coefficient": _number(found.coefficients[index]),
            }
            for index, other in enumerate(self._others)
        }
        norm = float(f"{found.norm:.6g}") if np.isfinite(found.norm) else None
        return {"norm": norm, "residual": _number(found.residual), "donors": donors}


class _Solution(NamedTuple):
    norm: float
    residual: float
    shares: Matrix
    cosines: Matrix
    coefficients: Matrix


def _solve(products: Matrix) -> _Solution:
    """The measures from the inner products of delta and the tau; NaN for what does not exist."""
    nothing = np.full(len(products) - 1, np.nan)
    if not np.isfinite(products).all():  # differences of huge numbers overflow float32
        return _Solution(np.nan, np.nan, nothing, nothing, nothing)
    norm = float(np.sqrt(products[0, 0]))
    if norm == 0:
        return _Solution(0.0, np.nan, nothing, nothing, nothing)
    gram, against = products[1:, 1:], products[1:, 0]
    lengths = np.sqrt(gram.diagonal())
    units = np.where(lengths > 0, lengths, 1.0)
    inverse = np.linalg.pinv(gram / np.outer(units, units), rcond=_SMALLEST_DIRECTION, hermitian=True)
    contributions = inverse @ (against / units)  # c_i ||tau_i||
    coefficients = contributions / units
    left = products[0, 0] - 2 * coefficients @ against + coefficients @ gram @ coefficients
    total = np.abs(contributions).sum()
    return _Solution(
        norm,
        float(np.sqrt(max(left, 0.0))) / norm,
        np.abs(contributions) / total if total > 0 else nothing,
        np.where(lengths > 0, against / (units * norm), np.nan),
        np.where(lengths > 0, coefficients, np.nan),
    )


def _parts(sites: Sequence[Site], stack: Sequence[StackEntry] | None) -> Iterator[Part]:
    """Every parameter of the merged model, by site."""
    scales = cumulative_scales([entry.scale for entry in stack or ()])
    for site in sites:
        if stack is None or site.layer is None:
            yield Part(site.name, site.layer, site, scales[-1] if scales else 1.0)
            continue
        for position, entry in enumerate(stack):
            if entry.layer == site.layer:
                yield Part(layer_name(site.name, position), position, site, scales[position])


def _ordered(places: Mapping[tuple[int | None, str], Matrix]) -> list[tuple[tuple[int | None, str], Matrix]]:
    """The places in the model's order, also where a stack has brought layers out of it."""
    before = [item for item in places.items() if item[0] == (None, "embed")]
    inside = sorted((item for item in places.items() if item[0][0] is not None), key=lambda item: item[0][0] or 0)
    after = [item for item in places.items() if item[0][0] is None and item[0][1] != "embed"]
    return [*before, *inside, *after]


def _number(value: float) -> float | None:
    return round(float(value), _DECIMALS) + 0.0 if np.isfinite(value) else None  # no -0.0
