"""One graph at one site: what is remembered is looked up, what is blocked runs by blocks, the rest on whole tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from evolve.execute.keep import Frozen
from evolve.execute.masks import packed
from evolve.execute.native import machine
from evolve.execute.native.loop import dtypes
from evolve.execute.native.program import BITS
from evolve.execute.order import OrderTable
from evolve.execute.region import Region, SiteInputs, call
from evolve.execute.scratch import scratch
from evolve.execute.workspace import Prepared, Workspace
from evolve.plan import kernels
from evolve.plan.noise import draw
from evolve.plan.operations import LEAVES, OPERATIONS
from evolve.plan.specs import Spec

# Below this many elements selecting a k-th smallest number costs less than a table of all of them.
_SMALL = 2**16
# Tables count in 31 bits.
_MOST_COUNTED = 2**31
# A block whose rows must fill whole parts of a total may not grow beyond this many elements.
_MOST_BLOCK = 2**20
# Results above this are computed again, but for masks: keeping them would cost more memory than time.
_MAX_RESULT_BYTES = 2**16
# Operations whose zeros are all positive, too.
_NEVER_NEGATIVE = ("abs", "square")
# What a mask or a table of a node is kept under, apart from the node's result itself.
_MASK, _TABLE = b"mask", b"table"
_LARGEST_FLOAT32 = 3.4028234663852886e38
# Integers up to here are exact as Python's floats.
_EXACT_INTEGERS = 2**53
_REDUCTIONS = ("sum", "mean", "vector_norm", "amax", "amin", "kthvalue", "median", "quantile")
_TOTALS = ("sum", "mean", "vector_norm")


class SiteWork:
    """Computes the output of one prepared graph for one site. Used once, by one thread.

    ``leaf(op, attributes)`` gives donors (as stored), statistics and totals.
    """

    def __init__(
        self,
        prepared: Prepared,
        workspace: Workspace,
        name: str,
        shape: tuple[int, ...],
        values: tuple[bool | int | float, ...],
        totals: Mapping[str, float],
        leaf: Callable[[str, Mapping[str, Any]], Tensor],
        device: torch.device,
    ) -> None:
        self._prepared = prepared
        self._structure = prepared.structure
        self._workspace = workspace
        self._name = name
        self._shape = shape
        self._values = values
        self._totals = totals
        self._leaf = leaf
        self._device = device
        self._compilable = all(map(_is_plain, values))
        self._known: dict[int, bytes] = {}
        self._stored: dict[int, Tensor] = {}
        self._results: dict[int, Any] = {}
        self._several: dict[Hashable, Any] = {}
        self._inputs = SiteInputs(name, self._stored, self._results)

    def result(self) -> Tensor:
        """The output as a float32 tensor of the site's shape; it may share memory with a donor."""
        self._compute_wholes()
        output: Tensor = self._whole(self._structure.output)
        return output.clone() if self._is_memorable(self._structure.output) else output

    def write(self, out: Tensor) -> bool | Tensor:
        """Rounds the output once into ``out`` (contiguous, the site's shape); returns whether all of it is finite."""
        self._compute_wholes()
        structure = self._structure
        if structure.output not in structure.blocked:
            out.copy_(self._results[structure.output])
            return all_finite(out)
        region, view = self._region(structure.output), out.view(structure.shape)
        compiled = self._compiled(region)
        loop = region.single_loop() if compiled else None
        if loop is not None and out.dtype in dtypes():
            return region.run_loop(loop, self._inputs, {}, 0, region.rows, view)
        finite = True
        for first, last, block in self._blocks(region, compiled):
            view[first:last].copy_(block)
            finite &= bool(all_finite(view[first:last]))
        return finite

    def _compute_wholes(self) -> None:
        """Every number and whole tensor that the output needs and that is not remembered."""
        structure = self._structure
        needed, order = {structure.output}, []
        for index in range(structure.output, -1, -1):
            if index not in needed:
                continue
            node = structure.nodes[index]
            if index in structure.masks and index != structure.output:
                if not self._remembered(index):
                    order.append(index)
                    needed.update(node.inputs)
            elif index in structure.blocked:
                needed.update(node.inputs)
                if node.op in ("donor", "statistic"):
                    self._stored[index] = self._stored_leaf(index)
            elif node.op == "value":
                slot: Any = node.attributes[0][1]
                self._results[index] = self._values[slot]
            elif not self._remembered(index):
                order.append(index)
                source = self._reduces(index)
                needed.update(node.inputs if source is None else (source, *node.inputs[1:]))
        last = {self._several_key(index): index for index in reversed(order)}
        for index in reversed(order):
            if index in structure.masks:
                self._stored[index] = self._mask(index)
            else:
                self._results[index] = self._compute(index)
            for source in structure.nodes[index].inputs:
                if structure.last_use[source] <= index:
                    self._results.pop(source, None)
            several = self._several_key(index)
            if last[several] == index:
                self._several.pop(several, None)

    def _stored_leaf(self, index: int) -> Tensor:
        tensor = self._leaf(self._structure.nodes[index].op, self._structure.attributes[index])
        if tensor.dtype not in dtypes():
            tensor = tensor.float()
        return tensor.contiguous().view(self._structure.shape)

    def _mask(self, index: int) -> Tensor:
        """A mask as bits, kept if there is room."""
        region = self._region(index)
        mask = torch.empty(-(-region.rows * region.columns // 8), dtype=torch.uint8)
        for first, _, block in self._blocks(region, self._compiled(region), multiple=8):
            bits = packed(block)
            start = first * region.columns // 8
            mask[start : start + len(bits)] = bits
        self._workspace.kept.put(self._name, _MASK + self._digest(index), mask, mask.nbytes)
        return mask

    def _is_memorable(self, index: int) -> bool:
        """Whether a result is small, and made of something large."""
        structure = self._structure
        spec = structure.specs[index]
        if structure.nodes[index].op in LEAVES or not isinstance(spec, Spec) or 8 * spec.size > _MAX_RESULT_BYTES:
            return False
        operands = [structure.specs[source] for source in structure.nodes[index].inputs]
        return any(isinstance(operand, Spec) and 8 * operand.size > _MAX_RESULT_BYTES for operand in operands)

    def _digest(self, index: int) -> bytes:
        return self._prepared.digests.of(index, self._values, self._totals, self._known)

    def _remembered(self, index: int) -> bool:
        mask = index in self._structure.masks
        if not mask and not self._is_memorable(index):
            return False
        digest = self._digest(index)
        found = self._workspace.kept.get(self._name, _MASK + digest if mask else digest)
        if found is not None and mask:
            self._stored[index] = found
        elif found is not None:
            self._results[index] = found.tensor()
        return found is not None

    def _compute(self, index: int) -> Any:
        node, attributes = self._structure.nodes[index], self._structure.attributes[index]
        if node.op not in OPERATIONS:
            return self._whole_leaf(node.op, attributes)
        result = self._reduced(index)
        if result is None:
            result = self._called(index)
        if self._is_memorable(index):
            self._workspace.kept.put(self._name, self._digest(index), Frozen.of(result), result.nbytes)
        return result

    def _whole_leaf(self, op: str, attributes: Mapping[str, Any]) -> Tensor:
        if op == "constant":
            data = torch.tensor(attributes["data"], dtype=kernels.DTYPES[attributes["dtype"]], device=self._device)
            return data.reshape(attributes["shape"])
        if op == "total":
            return torch.tensor(self._totals[attributes["name"]], dtype=torch.float32, device=self._device)
        if op == "noise":
            order = (attributes["distribution"], attributes["seed"], self._name, attributes["index"])
            return draw(*order, attributes["shape"], self._device)
        return self._leaf(op, attributes).to(device=self._device, dtype=torch.float32).contiguous()

    def _called(self, index: int) -> Any:
        """Through torch, on whole tensors; the outputs of an operation that has several are computed together."""
        node, attributes = self._structure.nodes[index], self._structure.attributes[index]
        key = self._several_key(index)
        if key is not None and key in self._several:
            return self._several[key][attributes["output"]]
        operands = [self._whole(source) for source in node.inputs]
        computed = call(node.op, operands, attributes, self._device, self._name)
        if key is None:
            return computed
        self._several[key] = computed
        return computed[attributes["output"]]

    def _several_key(self, index: int) -> Hashable:
        """The same for all outputs of an operation that has several, else None."""
        node = self._structure.nodes[index]
        if node.op not in OPERATIONS or not OPERATIONS[node.op].outputs:
            return None
        return (node.op, node.inputs, tuple((name, value) for name, value in node.attributes if name != "output"))

    def _whole(self, index: int) -> Any:
        """A node's number or whole tensor; a blocked node is filled block by block."""
        if index not in self._results and index not in self._structure.blocked:
            self._compute_aliases(index)
        if index not in self._results:
            region = self._region(index)
            spec = self._structure.spec(index)
            whole = torch.empty(spec.shape, dtype=kernels.DTYPES[spec.dtype])
            compiled = self._compiled(region)
            loop = region.single_loop() if compiled else None
            if loop is not None:
                region.run_loop(loop, self._inputs, {}, 0, region.rows, whole)
            else:
                for first, last, block in self._blocks(region, compiled):
                    whole[first:last] = block
            self._results[index] = whole.view(self._shape) if spec.shape == self._structure.shape else whole
        return self._results[index]

    def _compute_aliases(self, index: int) -> None:
        """What a reduction looked through, one after the other from the blocked node on."""
        chain = [index]
        while (source := self._structure.nodes[chain[-1]].inputs[0]) not in self._structure.blocked:
            chain.append(source)
        for alias in reversed(chain):
            self._results[alias] = self._called(alias)

    def _region(self, target: int) -> Region:
        masks = self._structure.masks
        stored = {index: BITS if index in masks else dtypes()[one.dtype] for index, one in self._stored.items()}
        return self._prepared.region(target, stored, self._workspace.loops)

    def _compiled(self, region: Region) -> bool:
        """Whether to run a region compiled; numbers that are no float32 are left to torch, which refuses some."""
        return self._compilable and region.compiled()

    def _blocks(self, region: Region, compiled: bool, multiple: int = 1) -> Iterator[tuple[int, int, Tensor]]:
        rows = region.block_rows(compiled, multiple)
        for first in range(0, region.rows, rows):
            last = min(first + rows, region.rows)
            yield first, last, region.block(self._inputs, first, last, compiled)

    def _reduces(self, index: int) -> int | None:
        """The blocked float32 node that a node may reduce to one number, looking through what only reshapes it."""
        node, spec = self._structure.nodes[index], self._structure.specs[index]
        if node.op not in _REDUCTIONS or not isinstance(spec, Spec) or spec.size != 1:
            return None
        source = self._structure.streamed(node.inputs[0])
        return source if source is not None and self._structure.spec(source).dtype == "float32" else None

    def _reduced(self, index: int) -> Tensor | None:
        """A reduction of a blocked node to one number, block by block; None where it is none or cannot be done so."""
        source = self._reduces(index)
        if source is None:
            return None
        node, spec = self._structure.nodes[index], self._structure.spec(index)
        if node.op in _TOTALS:
            return self._total(index, source)
        if node.op in ("amax", "amin") and self._takes_everything(index):
            extreme = torch.amax if node.op == "amax" else torch.amin
            found = extreme(torch.stack([extreme(block) for block in self._stream(source)])).reshape(spec.shape)
            return found if self._nonnegative(source) or found != 0 else None  # zeros of both signs: see _kth
        return self._order_statistic(index, source)

    def _total(self, index: int, source: int) -> Tensor | None:
        node, attributes = self._structure.nodes[index], self._structure.attributes[index]
        if not self._takes_everything(index) or attributes["keepdim"] or not self._structure.dimensions[node.inputs[0]]:
            return None
        if node.op == "vector_norm" and self._results[node.inputs[1]] != 2.0:
            return None
        sums = self._block_sums(source, squares=node.op == "vector_norm")
        if sums is None:
            return None
        total = kernels.add_in_order(sums)
        if node.op == "mean":
            total = total / self._structure.spec(source).size
        return (total.sqrt() if node.op == "vector_norm" else total).float()

    def _block_sums(self, source: int, squares: bool) -> Sequence[Tensor] | None:
        """The parts of a total, in one pass of a loop or from blocks; None where no blocks of rows are such parts."""
        structure, region = self._structure, self._region(source)
        if structure.spec(source).shape != structure.shape:
            return None
        loop = region.summable() if self._compiled(region) else None
        if loop is not None:
            return list(region.total(loop, self._inputs, squares))
        multiple = kernels.TOTAL_BLOCK // math.gcd(kernels.TOTAL_BLOCK, region.columns)
        if multiple * region.columns > _MOST_BLOCK:
            return None
        parts = (part for block in self._stream(source, multiple) for part in torch.split(block, kernels.TOTAL_BLOCK))
        return [kernels.block_sum(part.double().square() if squares else part) for part in parts]

    def _takes_everything(self, index: int) -> bool:
        """Whether a reduction goes over all dimensions of its operand."""
        dims = self._structure.attributes[index]["dims"]
        return dims is None or len(dims) == self._structure.dimensions[self._structure.nodes[index].inputs[0]]

    def _stream(self, source: int, multiple: int = 1) -> Iterator[Tensor]:
        """The elements of a blocked float32 node in order, block by block, each valid until the next is asked for."""
        region = self._region(source)
        compiled = self._compiled(region)
        loop = region.single_loop() if compiled else None
        if loop is None:
            yield from (block.reshape(-1) for _, _, block in self._blocks(region, compiled, multiple))
            return
        rows = region.block_rows(compiled, multiple)
        for first in range(0, region.rows, rows):
            last = min(first + rows, region.rows)
            block = scratch("block", (last - first) * region.columns, torch.float32)
            region.run_loop(loop, self._inputs, {}, first, last, block)
            yield block

    def _order_statistic(self, index: int, source: int) -> Tensor | None:
        """``kthvalue``, ``median`` or ``quantile`` of all elements, from a table that outlives the candidate."""
        node, attributes = self._structure.nodes[index], self._structure.attributes[index]
        size = self._structure.spec(source).size
        along = node.op != "median" and attributes.get("dim") is not None
        one_dimension = self._structure.dimensions[node.inputs[0]] == 1
        if not _SMALL < size < _MOST_COUNTED or (along and not one_dimension) or attributes.get("output", 0) != 0:
            return None
        if not machine.is_available():
            return None
        number: Any = self._results[node.inputs[1]] if len(node.inputs) > 1 else None
        shape = self._structure.spec(index).shape
        try:
            if node.op == "kthvalue":
                return self._kth(source, number).reshape(shape)
            if node.op == "median":
                return self._kth(source, (size + 1) // 2).reshape(shape)
            if node.op == "quantile":
                interpolation = attributes["interpolation"]
                return kernels.between(lambda k: self._kth(source, k), number, size, interpolation).reshape(shape)
        except _NoTableError:
            return None
        return None

    def _nonnegative(self, index: int) -> bool:
        return self._structure.nodes[index].op in _NEVER_NEGATIVE

    def _kth(self, source: int, k: int) -> Tensor:
        nonnegative = self._nonnegative(source)
        digest = _TABLE + self._digest(source)
        table = self._workspace.kept.get(self._name, digest)
        if table is None:
            table = OrderTable(lambda: self._stream(source), nonnegative)
        value = table.kth(k, lambda: self._stream(source))
        self._workspace.kept.put(self._name, digest, table, table.nbytes)
        # Zeros of both signs are equal, and torch returns either: only it can say which.
        if value is None or (value == 0 and not nonnegative):
            raise _NoTableError
        return torch.tensor(value, dtype=torch.float32)


def _is_plain(value: bool | int | float) -> bool:
    """Whether a number is a float32 once rounded, in one step."""
    return abs(value) <= (_LARGEST_FLOAT32 if isinstance(value, float) else _EXACT_INTEGERS)


class _NoTableError(Exception):
    """The table cannot tell; selection on the whole tensor can."""


def all_finite(tensor: Tensor) -> Tensor:
    """Whether a tensor holds neither NaN nor infinity, 0-dim bool: one pass, nothing allocated, no wait for a GPU."""
    if not tensor.numel():
        return torch.ones((), dtype=torch.bool, device=tensor.device)
    return torch.isfinite(torch.stack(torch.aminmax(tensor))).all()
