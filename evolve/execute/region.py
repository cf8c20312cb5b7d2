"""Computes one blocked node of a site's graph, rows by rows: through compiled loops, or node by node through torch."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from evolve.errors import RecipeError
from evolve.execute.fusion import Fused, compiled_name, fuse, is_filled, is_uniform
from evolve.execute.masks import unpacked
from evolve.execute.native import machine
from evolve.execute.native.loop import Loop, dtypes
from evolve.execute.native.program import BITS, FULL, PER_COLUMN, SQUARES, SUM, Program
from evolve.execute.structure import Structure, ranked, reads
from evolve.memory import is_lack_of_memory
from evolve.plan.kernels import DTYPES as TORCH_DTYPES
from evolve.plan.kernels import KERNELS, TOTAL_BLOCK, ranks
from evolve.plan.noise import draw, keys
from evolve.plan.specs import Spec

# Elements of a block in a region that torch computes node by node: a few dozen results of it fit into a core's cache.
TORCH_BLOCK = 2**15
# A loop has one result only; fewer, larger calls save the time around them.
LOOP_BLOCK = 2**17
# torch computes what is left after its last full vectors of a tensor by other code, with other bits (exp2, sigmoid):
# blocks end where vectors do, but for the last. Its largest step is two vectors of 16.
VECTORS = 64
# Counters of compiled noise have 32 bits.
_MOST_ELEMENTS = 2**32
_LEAVES = ("donor", "statistic", "noise")


@dataclass(frozen=True)
class SiteInputs:
    """What a site's blocks are made of: ``stored`` are donors and statistics by node as they lie in memory, in the
    structure's view; ``results`` the numbers and whole tensors computed so far.
    """

    name: str
    stored: Mapping[int, Tensor]
    results: Mapping[int, Any]


class Part(NamedTuple):
    """One node computed on a block, by a loop or, where that is None, by torch; ``frees`` are the nodes whose blocks
    are needed no more.
    """

    node: int
    loop: Fused | None = None
    frees: tuple[int, ...] = ()


class Loops:
    """The compiled loops of a process; equal programs share one. May be shared between threads.

    A program is compiled once torch would have spent about as long on it as compiling takes, so that small models and
    programs seen once pay little, and large ones are compiled before their first element.
    """

    # Measured: 12 ms and 0.2 ms a step to compile; 1 ns an element and step in torch's blocks.
    COMPILE_STEPS = 60
    WORK_PER_STEP = 2e5
    MOST_LOOPS = 512
    MOST_WATCHED = 8192

    def __init__(self, patience: float = 1.0) -> None:
        """``patience`` multiplies the cost of compiling: 0 compiles everything at once, infinity nothing."""
        self._patience = patience
        self._loops: OrderedDict[tuple[Program, str], Loop] = OrderedDict()
        self._work: OrderedDict[Program, float] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._loops)

    def worthwhile(self, programs: Sequence[Program], elements: int) -> bool:
        """Whether these programs, which belong together, should run compiled for so many elements more."""
        if elements >= _MOST_ELEMENTS or not machine.is_available():
            return False
        work = 0.0
        with self._lock:
            for program in programs:
                done = self._work.get(program, 0.0) + elements * (len(program.steps) + len(program.loads))
                self._work[program] = done
                work += done
            while len(self._work) > self.MOST_WATCHED:
                self._work.popitem(last=False)
        cost = sum(self.COMPILE_STEPS + len(program.steps) for program in programs) * self.WORK_PER_STEP
        return work >= self._patience * cost

    def get(self, program: Program, dtype: str) -> Loop:
        """The loop of a program that stores ``dtype``, compiled if need be."""
        key = (program, dtype)
        with self._lock:
            loop = self._loops.get(key)
            if loop is None:
                loop = self._loops[key] = Loop(program._replace(dtype=dtype))
                while len(self._loops) > self.MOST_LOOPS:
                    self._loops.popitem(last=False)
            self._loops.move_to_end(key)
            return loop


@dataclass
class Region:
    """How one blocked node is computed; made once for a structure, a target and the donors' dtypes."""

    structure: Structure
    target: int
    stored: Mapping[int, str]
    loops: Loops
    plain: tuple[Part, ...] = field(init=False)
    fused: tuple[Part, ...] = field(init=False)

    def __post_init__(self) -> None:
        order = _blocked_before(self.structure, self.target, self.stored)
        self.plain = self._with_frees([Part(index) for index in order if not self._is_leaf(index)])
        singles = [index for index in order if not self._is_leaf(index) and not self._in_loop(index)]
        singles += [index for index in order if self._is_drawn(index)]
        self.fused = self._with_frees(list(self._fused_parts(sorted(singles))))
        self._programs = [part.loop.program for part in self.fused if part.loop is not None]
        self._compiled = False
        self._found: dict[tuple[int, str], Loop] = {}

    def _is_leaf(self, index: int) -> bool:
        return index in self.stored or self.structure.nodes[index].op in _LEAVES

    def _is_drawn(self, index: int) -> bool:
        node = self.structure.nodes[index]
        return node.op == "noise" and not is_uniform(node)

    def _in_loop(self, index: int) -> bool:
        if index in self.stored:
            return False
        return compiled_name(self.structure, index) is not None or is_filled(self.structure.nodes[index])

    def _fused_parts(self, singles: Sequence[int]) -> Iterator[Part]:
        """Loops for what torch's nodes need, then the torch node, and so on; at last the target."""
        made: set[int] = set()
        for index in singles:
            for source in reads(self.structure, index):
                if source in self.structure.blocked and self._in_loop(source) and source not in made:
                    made.add(source)
                    yield Part(source, fuse(self.structure, source, self.stored))
            yield Part(index)
        if self.target not in singles and self.target not in made:
            yield Part(self.target, fuse(self.structure, self.target, self.stored))

    def _with_frees(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        used = [set(part.loop.loads if part.loop else reads(self.structure, part.node)) for part in parts]
        last = {index: place for place, indices in enumerate(used) for index in indices}
        last[self.target] = len(parts)
        return tuple(
            part._replace(frees=tuple(index for index in used[place] if last[index] == place))
            for place, part in enumerate(parts)
        )

    @property
    def rows(self) -> int:
        """How many rows (elements where flat) the structure has."""
        return self.structure.shape[0]

    @property
    def columns(self) -> int:
        return 1 if self.structure.flat else self.structure.shape[1]

    def compiled(self) -> bool:
        """Whether to run compiled from now on; counts this site's work."""
        if not self._compiled and self._programs:
            self._compiled = self.loops.worthwhile(self._programs, self.rows * self.columns)
        return self._compiled

    def single_loop(self) -> Fused | None:
        """The loop, where one loop from leaves to target is all there is."""
        return self.fused[0].loop if len(self.fused) == 1 else None

    def summable(self) -> Fused | None:
        """The loop, where it can add up its elements in one pass: one loop that reads element by element."""
        loop = self.single_loop()
        return loop if loop is not None and all(load.layout == FULL for load in loop.program.loads) else None

    def block_rows(self, compiled: bool, multiple: int = 1) -> int:
        """Rows of a block: about as many elements as suit the cache, a multiple of ``multiple`` rows."""
        looped = compiled and self.single_loop() is not None
        if not looped:
            multiple = math.lcm(multiple, VECTORS // math.gcd(VECTORS, self.columns))
        wanted = (LOOP_BLOCK if looped else TORCH_BLOCK) // self.columns
        return max(1, wanted // multiple) * multiple

    def block(self, inputs: SiteInputs, first: int, last: int, compiled: bool) -> Tensor:
        """The target's rows ``first..last``, contiguous where a loop made them."""
        blocks: dict[int, Tensor] = {}
        for part in self.fused if compiled else self.plain:
            if part.loop is None:
                blocks[part.node] = self._single(part.node, inputs, blocks, first, last)
            else:
                dtype = TORCH_DTYPES[part.loop.program.dtype]
                made = torch.empty(self._block_shape(part.node, first, last), dtype=dtype)
                self.run_loop(part.loop, inputs, blocks, first, last, made)
                blocks[part.node] = made
            for index in part.frees:
                blocks.pop(index, None)
        if self.target in blocks:
            return blocks[self.target]
        leaf: Tensor = self._operand(self.target, self.target, inputs, blocks, first, last)
        return leaf

    def _block_shape(self, index: int, first: int, last: int) -> tuple[int, ...]:
        return (last - first, *self.structure.spec(index).shape[1:])

    def run_loop(
        self, step: Fused, inputs: SiteInputs, blocks: Mapping[int, Tensor], first: int, last: int, output: Tensor
    ) -> bool:
        """Runs a loop over rows ``first..last`` into ``output``; returns whether all of it is finite."""
        dtype = dtypes()[output.dtype]
        loop = self._found.get((step.target, dtype))
        if loop is None:
            loop = self._found[step.target, dtype] = self.loops.get(step.program, dtype)
        by_row = any(load.layout != FULL for load in step.program.loads)
        view = output.view(last - first, self.columns) if by_row else output.view(1, -1)
        return loop.run(*self._arguments(step, inputs, blocks, first, last), view)

    def total(self, step: Fused, inputs: SiteInputs, squares: bool) -> Tensor:
        """The float64 sums of the whole target's blocks of TOTAL_BLOCK elements, or of their squares, in one pass."""
        loop = self.loops.get(step.program, SQUARES if squares else SUM)
        elements = self.rows * self.columns
        whole = elements // TOTAL_BLOCK
        sums = torch.empty(-(-elements // TOTAL_BLOCK), 1, dtype=torch.float64)
        loads, scalars, streams, _ = self._arguments(step, inputs, {}, 0, self.rows)
        loop.run(loads, scalars, streams, 0, sums[:whole], TOTAL_BLOCK)
        if whole < len(sums):
            start = whole * TOTAL_BLOCK
            rest = [
                load[start // 8 :] if spec.dtype == BITS else load.view(-1)[start:]
                for load, spec in zip(loads, step.program.loads, strict=True)
            ]
            loop.run(rest, scalars, streams, start, sums[whole:], elements - start)
        return sums.view(-1)

    def _arguments(
        self, step: Fused, inputs: SiteInputs, blocks: Mapping[int, Tensor], first: int, last: int
    ) -> tuple[list[Tensor], list[float], list[tuple[int, int]], int]:
        """What a loop is called with for rows ``first..last``: loads, scalars, noise keys, first element."""
        loads = [
            self._load(index, load.layout, inputs, blocks, first, last)
            for index, load in zip(step.loads, step.program.loads, strict=True)
        ]
        scalars = [float(inputs.results[index]) for index in step.scalars]
        nodes = [self.structure.attributes[index] for index in step.noises]
        streams = [keys(node["seed"], inputs.name, node["index"]) for node in nodes]
        return loads, scalars, streams, first * self.columns

    def _load(
        self,
        index: int,
        layout: str,
        inputs: SiteInputs,
        blocks: Mapping[int, Tensor],
        first: int,
        last: int,
    ) -> Tensor:
        if index in blocks:
            return blocks[index].contiguous()
        if index in inputs.stored:
            if self.stored[index] == BITS:
                return inputs.stored[index][first * self.columns // 8 :]
            return inputs.stored[index][first:last]
        whole: Tensor = inputs.results[index]
        if layout == PER_COLUMN:
            return whole.contiguous()
        return (whole.reshape(-1) if self.structure.flat else whole)[first:last].contiguous()

    def _single(self, index: int, inputs: SiteInputs, blocks: Mapping[int, Tensor], first: int, last: int) -> Tensor:
        node = self.structure.nodes[index]
        if node.op == "noise":
            drawn: Tensor = self._operand(index, index, inputs, blocks, first, last)
            return drawn
        attributes = self.structure.attributes[index]
        if node.op == "full":
            attributes = {**attributes, "shape": self._block_shape(index, first, last)}
        operands = [
            self._operand(source, index, inputs, blocks, first, last) for source in reads(self.structure, index)
        ]
        if ranked(self.structure, index) is not None:
            ranked_rows: Tensor = ranks(operands[0], attributes["dim"])
            return ranked_rows
        computed = call(node.op, operands, attributes, "cpu", inputs.name)
        result: Tensor = computed[attributes["output"]] if "output" in attributes else computed
        return result

    def _operand(
        self, index: int, result: int, inputs: SiteInputs, blocks: Mapping[int, Tensor], first: int, last: int
    ) -> Any:
        """A node's rows ``first..last`` as torch reads them, or all of it where it has no rows."""
        if index in blocks:
            return blocks[index]
        node = self.structure.nodes[index]
        if index in inputs.stored:
            if self.stored[index] == BITS:
                return unpacked(inputs.stored[index], first * self.columns, self._block_shape(index, first, last))
            return inputs.stored[index][first:last].float()
        if index in self.structure.blocked:
            assert node.op == "noise", node.op
            attributes = self.structure.attributes[index]
            return draw(
                attributes["distribution"],
                attributes["seed"],
                inputs.name,
                attributes["index"],
                self._block_shape(index, first, last),
                start=first * self.columns,
            )
        value = inputs.results[index]
        spec = self.structure.specs[index]
        if not isinstance(spec, Spec):
            return value
        if spec.size == 1:  # blocks of a flat structure have one dimension, and may not be given more
            return value.reshape(1) if self.structure.flat and len(spec.shape) > 1 else value
        if self.structure.flat:
            return value.reshape(-1)[first:last]
        has_rows = len(spec.shape) == len(self.structure.spec(result).shape) and spec.shape[0] == self.rows
        return value[first:last] if has_rows else value


def call(op: str, operands: Sequence[Any], attributes: Mapping[str, Any], device: Any, site: str) -> Any:
    """Runs an operation's kernel; RecipeError where torch refuses the numbers (shapes and dtypes have been checked)."""
    try:
        return KERNELS[op](operands, attributes, device)
    except (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError) as error:
        if is_lack_of_memory(error):
            raise
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(f"site {site!r}: {op} failed: {message}") from error


def _blocked_before(structure: Structure, target: int, stored: Collection[int]) -> list[int]:
    """The blocked nodes that the target is made of, itself included, down to what is stored, in order."""
    found, pending = {target}, [target]
    while pending:
        index = pending.pop()
        inputs = () if index in stored else reads(structure, index)
        operands = {source for source in inputs if source in structure.blocked}
        pending += operands - found
        found |= operands
    return sorted(found)
