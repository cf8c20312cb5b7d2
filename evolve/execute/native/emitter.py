"""LLVM instructions for the elementwise operations of plans, at any vector width.

Every operation here rounds once and alike in every lane (IEEE 754, no contraction, no reassociation), so a loop has the
bits of the torch calls it stands for. What torch computes by other means (exp, pow, lerp, ...) is not here and runs
through torch, block by block; so does sqrt, which torch may leave to a library that does not always round to nearest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from evolve.execute.native.program import BITS
from evolve.plan.noise import MULTIPLIERS, UNIFORM_BITS

STORED = {"float32": "float", "bfloat16": "i16", "float16": "half", "bool": "i8"}
"""LLVM type in memory of each dtype that loops load and store."""

# The bits of the smallest float32 that each dtype rounds to infinity.
_LEAST_INFINITE = {"float32": 0x7F800000, "bfloat16": 0x7F7F8000, "float16": 0x477FF000}
# Bytes ahead of a load that are fetched: memory then keeps up with short loops (12 % faster for a sum of three donors).
_AHEAD_BYTES = 1024

_ORDERED = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
_ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_BITWISE = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
_BITWISE.update({"logical_and": "and", "logical_or": "or", "logical_xor": "xor"})
_UNARY_FLOAT = ("neg", "abs", "square", "reciprocal", "rsqrt", "relu", "sign")
_COPIES = ("clone", "contiguous")

_MORE = ("logical_not", "bitwise_not", "where", "masked_fill", "where_bool", "masked_fill_bool", "clamp", "clamp_min",
         "clamp_max", "to_float", "to_bool", "number_div")  # fmt: skip

OPERATIONS = frozenset((*_ORDERED, *_ARITHMETIC, *_BITWISE, *_UNARY_FLOAT, *_COPIES, *_MORE))
"""What a loop can compute of float32 and bool operands, by the names of plans. ``cast``, ``where`` and ``masked_fill``
are split by the dtype of their result, and ``div`` of a number by a tensor has a name of its own. Scalars are floats,
whatever they stand for.
"""


class Value(NamedTuple):
    """An LLVM register and what it holds: ``float`` or ``bool``."""

    name: str
    kind: str


class Emitter:
    """Collects instructions that work on ``width`` elements at once; width 1 means plain scalars."""

    def __init__(self, width: int, prefix: str) -> None:
        self.width = width
        self.prefix = prefix
        self.lines: list[str] = []
        self._count = 0

    def type(self, element: str) -> str:
        """The LLVM type of ``width`` elements."""
        return element if self.width == 1 else f"<{self.width} x {element}>"

    def constant(self, element: str, literal: str) -> str:
        """A literal repeated in every lane, without its type."""
        return literal if self.width == 1 else f"splat ({element} {literal})"

    def emit(self, text: str) -> str:
        """Adds an instruction; returns the register it defines."""
        self._count += 1
        name = f"%{self.prefix}{self._count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def splat(self, element: str, scalar: str) -> str:
        """A scalar register in every lane."""
        if self.width == 1:
            return scalar
        vector = self.type(element)
        first = self.emit(f"insertelement {vector} poison, {element} {scalar}, i32 0")
        return self.emit(f"shufflevector {vector} {first}, {vector} poison, <{self.width} x i32> zeroinitializer")

    def binary(self, instruction: str, element: str, left: str, right: str) -> str:
        return self.emit(f"{instruction} {self.type(element)} {left}, {right}")

    def with_literal(self, instruction: str, element: str, left: str, literal: int | str) -> str:
        return self.binary(instruction, element, left, self.constant(element, str(literal)))

    def cast(self, instruction: str, source: str, element: str, target: str) -> str:
        return self.emit(f"{instruction} {self.type(element)} {source} to {self.type(target)}")

    def compare(self, predicate: str, left: str, right: str) -> str:
        return self.emit(f"fcmp {predicate} {self.type('float')} {left}, {right}")

    def select(self, element: str, condition: str, left: str, right: str) -> str:
        mask, vector = self.type("i1"), self.type(element)
        return self.emit(f"select {mask} {condition}, {vector} {left}, {vector} {right}")

    def intrinsic(self, name: str, operand: str) -> str:
        suffix = "f32" if self.width == 1 else f"v{self.width}f32"
        vector = self.type("float")
        return self.emit(f"call {vector} @llvm.{name}.{suffix}({vector} {operand})")

    def number(self, literal: float) -> str:
        """A float literal that is exact in float32, written as LLVM wants it: the bits of the double."""
        return self.constant("float", f"0x{struct.pack('>d', literal).hex()}")

    def load(self, dtype: str, pointer: str, index: str) -> Value:
        """The elements from ``pointer[index]`` on, widened to float32 (masks stay bool)."""
        if dtype == BITS:
            return Value(self._load_bits(pointer, index), "bool")
        element = STORED[dtype]
        address = self.emit(f"getelementptr {element}, ptr {pointer}, i64 {index}")
        if self.width > 1:
            ahead = self.emit(f"getelementptr i8, ptr {address}, i64 {_AHEAD_BYTES}")
            self.lines.append(f"  call void @llvm.prefetch.p0(ptr {ahead}, i32 0, i32 3, i32 1)")
        align = {"float": 4, "i16": 2, "half": 2, "i8": 1}[element]
        raw = self.emit(f"load {self.type(element)}, ptr {address}, align {align}")
        return self._widen(dtype, raw)

    def _load_bits(self, pointer: str, index: str) -> str:
        address = self.emit(f"getelementptr i8, ptr {pointer}, i64 {self.emit(f'lshr i64 {index}, 3')}")
        if self.width > 1:
            bits = self.emit(f"load i{self.width}, ptr {address}, align 1")
            return self.emit(f"bitcast i{self.width} {bits} to {self.type('i1')}")
        byte = self.emit(f"load i8, ptr {address}, align 1")
        place = self.emit(f"and i8 {self.emit(f'trunc i64 {index} to i8')}, 7")
        return self.emit(f"trunc i8 {self.emit(f'lshr i8 {byte}, {place}')} to i1")

    def _widen(self, dtype: str, raw: str) -> Value:
        if dtype == "float32":
            return Value(raw, "float")
        if dtype == "float16":
            return Value(self.cast("fpext", raw, "half", "float"), "float")
        if dtype == "bool":
            mask, zero = self.type("i8"), self.constant("i8", "0")
            return Value(self.emit(f"icmp ne {mask} {raw}, {zero}"), "bool")
        bits = self.with_literal("shl", "i32", self.cast("zext", raw, "i16", "i32"), 16)
        return Value(self.cast("bitcast", bits, "i32", "float"), "float")

    def store(self, dtype: str, value: Value, pointer: str, index: str) -> str | None:
        """Rounds to nearest even and stores; returns a mask of the elements that are not finite once rounded.

        Where a NaN is stored as bfloat16, what is stored need not be one: the mask tells.
        """
        element = STORED[dtype]
        stored = self._narrow(dtype, value)
        address = self.emit(f"getelementptr {element}, ptr {pointer}, i64 {index}")
        self.lines.append(f"  store {self.type(element)} {stored}, ptr {address}, align 1")
        if dtype not in _LEAST_INFINITE:
            return None
        magnitude = self.with_literal("and", "i32", self.cast("bitcast", value.name, "float", "i32"), 0x7FFFFFFF)
        least = self.constant("i32", str(_LEAST_INFINITE[dtype]))
        return self.emit(f"icmp uge {self.type('i32')} {magnitude}, {least}")

    def _narrow(self, dtype: str, value: Value) -> str:
        """The value in its stored type."""
        if dtype == "bool":
            return self.cast("zext", value.name, "i1", "i8")
        if dtype == "float32":
            return value.name
        if dtype == "float16":
            return self.cast("fptrunc", value.name, "float", "half")
        bits = self.cast("bitcast", value.name, "float", "i32")
        odd = self.with_literal("and", "i32", self.with_literal("lshr", "i32", bits, 16), 1)
        rounded = self.binary("add", "i32", self.with_literal("add", "i32", bits, 0x7FFF), odd)
        return self.cast("trunc", self.with_literal("lshr", "i32", rounded, 16), "i32", "i16")

    def uniform(self, counter: str, keys: tuple[str, str]) -> Value:
        """Uniform noise of the counters in the i32 register ``counter``; the function of ``evolve.plan.noise``."""
        words = self.binary("add", "i32", counter, keys[0])
        for step, multiplier in enumerate(MULTIPLIERS):
            words = self.binary("xor", "i32", words, self.with_literal("lshr", "i32", words, 16 if step == 0 else 15))
            words = self.with_literal("mul", "i32", words, multiplier)
            if step == 0:
                words = self.binary("add", "i32", words, keys[1])
        words = self.binary("xor", "i32", words, self.with_literal("lshr", "i32", words, 15))
        fraction = self.cast("sitofp", self.with_literal("lshr", "i32", words, 32 - UNIFORM_BITS), "i32", "float")
        return Value(self.binary("fmul", "float", fraction, self.number(2.0**-UNIFORM_BITS)), "float")

    def as_float(self, value: Value) -> str:
        """A bool counts as 0 or 1 in arithmetic."""
        return value.name if value.kind == "float" else self.cast("uitofp", value.name, "i1", "float")

    def as_bool(self, value: Value) -> str:
        return value.name if value.kind == "bool" else self.compare("une", value.name, self.number(0.0))

    def apply(self, operation: str, operands: Sequence[Value]) -> Value:
        """The result of one operation of ``OPERATIONS``."""
        if operation in _COPIES:
            return operands[0]
        if operation in _ARITHMETIC:
            left, right = map(self.as_float, operands)
            return Value(self.binary(_ARITHMETIC[operation], "float", left, right), "float")
        if operation in _ORDERED:
            left, right = map(self.as_float, operands)
            return Value(self.compare(_ORDERED[operation], left, right), "bool")
        if operation in _BITWISE:
            left, right = map(self.as_bool, operands)
            return Value(self.binary(_BITWISE[operation], "i1", left, right), "bool")
        return _OTHERS[operation](self, operands)


def _not(emitter: Emitter, operands: Sequence[Value]) -> Value:
    return Value(emitter.with_literal("xor", "i1", emitter.as_bool(operands[0]), "true"), "bool")


def _where(emitter: Emitter, operands: Sequence[Value]) -> Value:
    condition, left, right = operands
    chosen = emitter.select("float", emitter.as_bool(condition), emitter.as_float(left), emitter.as_float(right))
    return Value(chosen, "float")


def _where_bool(emitter: Emitter, operands: Sequence[Value]) -> Value:
    return Value(emitter.select("i1", *map(emitter.as_bool, operands)), "bool")


def _masked_fill(emitter: Emitter, operands: Sequence[Value]) -> Value:
    tensor, mask, value = operands
    return _where(emitter, (mask, value, tensor))


def _masked_fill_bool(emitter: Emitter, operands: Sequence[Value]) -> Value:
    tensor, mask, value = operands
    return _where_bool(emitter, (mask, value, tensor))


def _at_least(emitter: Emitter, value: str, low: str) -> str:
    """As torch's vector code: the value itself when it is NaN or equal to the bound."""
    return emitter.select("float", emitter.compare("ogt", low, value), low, value)


def _at_most(emitter: Emitter, value: str, high: str) -> str:
    return emitter.select("float", emitter.compare("olt", high, value), high, value)


def _clamp(emitter: Emitter, operands: Sequence[Value]) -> Value:
    value, low, high = map(emitter.as_float, operands)
    return Value(_at_most(emitter, _at_least(emitter, value, low), high), "float")


def _float_unary(emitter: Emitter, operation: str, operand: str) -> str:
    if operation == "neg":
        return emitter.emit(f"fneg {emitter.type('float')} {operand}")
    if operation == "abs":
        return emitter.intrinsic("fabs", operand)
    if operation == "square":
        return emitter.binary("fmul", "float", operand, operand)
    if operation == "relu":
        return _at_least(emitter, operand, emitter.number(0.0))
    if operation == "sign":
        positive = emitter.cast("uitofp", emitter.compare("ogt", operand, emitter.number(0.0)), "i1", "float")
        negative = emitter.cast("uitofp", emitter.compare("olt", operand, emitter.number(0.0)), "i1", "float")
        return emitter.binary("fsub", "float", positive, negative)
    root = operand if operation == "reciprocal" else emitter.intrinsic("sqrt", operand)
    return emitter.binary("fdiv", "float", emitter.number(1.0), root)


def _number_div(emitter: Emitter, operands: Sequence[Value]) -> Value:
    """As Python's division by a tensor: the reciprocal, then the product."""
    number, tensor = map(emitter.as_float, operands)
    return Value(emitter.binary("fmul", "float", _float_unary(emitter, "reciprocal", tensor), number), "float")


def _unary(operation: str) -> Callable[[Emitter, Sequence[Value]], Value]:
    return lambda emitter, operands: Value(_float_unary(emitter, operation, emitter.as_float(operands[0])), "float")


_OTHERS: dict[str, Callable[[Emitter, Sequence[Value]], Value]] = {
    **{name: _unary(name) for name in _UNARY_FLOAT},
    "number_div": _number_div,
    "logical_not": _not,
    "bitwise_not": _not,
    "where": _where,
    "where_bool": _where_bool,
    "masked_fill": _masked_fill,
    "masked_fill_bool": _masked_fill_bool,
    "clamp": _clamp,
    "clamp_min": lambda e, x: Value(_at_least(e, e.as_float(x[0]), e.as_float(x[1])), "float"),
    "clamp_max": lambda e, x: Value(_at_most(e, e.as_float(x[0]), e.as_float(x[1])), "float"),
    "to_float": lambda e, x: Value(e.as_float(x[0]), "float"),
    "to_bool": lambda e, x: Value(e.as_bool(x[0]), "bool"),
}
