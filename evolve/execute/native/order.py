"""Machine code behind exact order statistics: counting float32 numbers by their order.

The order of a float32 is its bits as an unsigned integer, with the sign bit flipped for positive numbers and all bits
for negative ones: integers then compare as the numbers do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from evolve.execute.native import machine

_WIDTH = 16
_LONG, _INT, _POINTER = ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p

_INTS = f"<{_WIDTH} x i32>"


def _splat(name: str, scalar: str) -> str:
    return (
        f"  %{name}.first = insertelement {_INTS} poison, i32 {scalar}, i32 0\n"
        f"  %{name} = shufflevector {_INTS} %{name}.first, {_INTS} poison, {_INTS} zeroinitializer"
    )


def _bins(kind: str, suffix: str, literal: Callable[[int], str]) -> str:
    """Instructions from ``%bits`` to ``%bin``, ``%flag`` (the sign bit, where lower bits are set) and ``%isnan``."""
    mask = kind.replace("i32", "i1")
    return f"""
  %sign{suffix} = ashr {kind} %bits{suffix}, {literal(31)}
  %flip{suffix} = or {kind} %sign{suffix}, {literal(-(2**31))}
  %key{suffix} = xor {kind} %bits{suffix}, %flip{suffix}
  %upper{suffix} = lshr {kind} %key{suffix}, %shift{suffix}
  %below{suffix} = icmp ult {kind} %upper{suffix}, %offset{suffix}
  %moved{suffix} = sub {kind} %upper{suffix}, %offset{suffix}
  %above{suffix} = icmp ugt {kind} %moved{suffix}, %last{suffix}
  %capped{suffix} = select {mask} %above{suffix}, {kind} %last{suffix}, {kind} %moved{suffix}
  %bin{suffix} = select {mask} %below{suffix}, {kind} {literal(0)}, {kind} %capped{suffix}
  %low{suffix} = and {kind} %key{suffix}, %mask{suffix}
  %some{suffix} = icmp ne {kind} %low{suffix}, {literal(0)}
  %flag{suffix} = select {mask} %some{suffix}, {kind} {literal(-(2**31))}, {kind} {literal(0)}
  %magnitude{suffix} = and {kind} %bits{suffix}, {literal(2**31 - 1)}
  %isnan{suffix} = icmp ugt {kind} %magnitude{suffix}, {literal(0x7F800000)}
"""


def _increment(name: str, bin: str, flag: str) -> str:
    return f"""
  %wide{name} = zext i32 {bin} to i64
  %cell{name} = getelementptr i32, ptr %counts, i64 %wide{name}
  %old{name} = load i32, ptr %cell{name}
  %more{name} = add i32 %old{name}, 1
  %new{name} = or i32 %more{name}, {flag}
  store i32 %new{name}, ptr %cell{name}
"""


def _lane(lane: int) -> str:
    """One element of a vector: its bin and flag are read back from memory, which is faster than extracting them."""
    return f"""
  %at{lane} = getelementptr i32, ptr %bins, i64 {lane}
  %one{lane} = load i32, ptr %at{lane}
  %fat{lane} = getelementptr i32, ptr %flags, i64 {lane}
  %mark{lane} = load i32, ptr %fat{lane}
  {_increment(f".{lane}", f"%one{lane}", f"%mark{lane}")}
"""


_COUNT = f"""
declare i1 @llvm.vector.reduce.or.v{_WIDTH}i1(<{_WIDTH} x i1>)

define internal i32 @order(i32 %bits) alwaysinline nounwind {{
  %sign = ashr i32 %bits, 31
  %flip = or i32 %sign, -2147483648
  %key = xor i32 %bits, %flip
  ret i32 %key
}}

define void @count(i64 %n, ptr noalias %values, i32 %shift, i32 %offset, i32 %last, ptr noalias %counts,
                   ptr noalias %nan) nounwind {{
entry:
  %bins = alloca [{_WIDTH} x i32], align 64
  %flags = alloca [{_WIDTH} x i32], align 64
  %ones = shl i32 -1, %shift
  %mask = xor i32 %ones, -1
{_splat("shift.v", "%shift")}
{_splat("offset.v", "%offset")}
{_splat("last.v", "%last")}
{_splat("mask.v", "%mask")}
  %whole = and i64 %n, -{_WIDTH}
  %any = icmp sgt i64 %whole, 0
  br i1 %any, label %loop, label %rest
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %nans = phi <{_WIDTH} x i1> [ zeroinitializer, %entry ], [ %nans.next, %loop ]
  %address = getelementptr i32, ptr %values, i64 %i
  %bits.v = load {_INTS}, ptr %address, align 4
{_bins(_INTS, ".v", lambda number: f"splat (i32 {number})")}
  %nans.next = or <{_WIDTH} x i1> %nans, %isnan.v
  store {_INTS} %bin.v, ptr %bins, align 64
  store {_INTS} %flag.v, ptr %flags, align 64
{"".join(map(_lane, range(_WIDTH)))}
  %next = add i64 %i, {_WIDTH}
  %more = icmp slt i64 %next, %whole
  br i1 %more, label %loop, label %check
check:
  %bad = call i1 @llvm.vector.reduce.or.v{_WIDTH}i1(<{_WIDTH} x i1> %nans.next)
  br i1 %bad, label %report, label %rest
report:
  store i32 1, ptr %nan
  br label %rest
rest:
  %some.left = icmp slt i64 %whole, %n
  br i1 %some.left, label %single, label %end
single:
  %j = phi i64 [ %whole, %rest ], [ %j.next, %latch ]
  %place = getelementptr i32, ptr %values, i64 %j
  %bits = load i32, ptr %place
{_bins("i32", "", str)}
{_increment(".s", "%bin", "%flag")}
  br i1 %isnan, label %alarm, label %latch
alarm:
  store i32 1, ptr %nan
  br label %latch
latch:
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j.next, %n
  br i1 %j.more, label %single, label %end
end:
  ret void
}}
"""

_TALLY = f"""
declare i16 @llvm.cttz.i16(i16, i1)

define void @tally(i64 %n, ptr noalias %values, i32 %first, i32 %span, ptr noalias %counts) nounwind {{
entry:
{_splat("first.v", "%first")}
{_splat("span.v", "%span")}
  %whole = and i64 %n, -{_WIDTH}
  %any = icmp sgt i64 %whole, 0
  br i1 %any, label %loop, label %rest
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %latch ]
  %address = getelementptr i32, ptr %values, i64 %i
  %bits = load {_INTS}, ptr %address, align 4
  %sign = ashr {_INTS} %bits, splat (i32 31)
  %flip = or {_INTS} %sign, splat (i32 -2147483648)
  %keys = xor {_INTS} %bits, %flip
  %away = sub {_INTS} %keys, %first.v
  %inside = icmp ule {_INTS} %away, %span.v
  %mask = bitcast <{_WIDTH} x i1> %inside to i16
  %none = icmp eq i16 %mask, 0
  br i1 %none, label %latch, label %hit
hit:
  %left = phi i16 [ %mask, %loop ], [ %fewer, %hit ]
  %lane = call i16 @llvm.cttz.i16(i16 %left, i1 true)
  %lane.wide = zext i16 %lane to i64
  %at = add i64 %i, %lane.wide
  %place = getelementptr i32, ptr %values, i64 %at
  %single = load i32, ptr %place
  %key = call i32 @order(i32 %single)
  %cell.number = sub i32 %key, %first
  {_increment(".h", "%cell.number", "0")}
  %less = sub i16 %left, 1
  %fewer = and i16 %left, %less
  %done = icmp eq i16 %fewer, 0
  br i1 %done, label %latch, label %hit
latch:
  %next = add i64 %i, {_WIDTH}
  %more = icmp slt i64 %next, %whole
  br i1 %more, label %loop, label %rest
rest:
  %some.left = icmp slt i64 %whole, %n
  br i1 %some.left, label %each, label %end
each:
  %j = phi i64 [ %whole, %rest ], [ %j.next, %each.latch ]
  %each.place = getelementptr i32, ptr %values, i64 %j
  %each.bits = load i32, ptr %each.place
  %each.key = call i32 @order(i32 %each.bits)
  %each.away = sub i32 %each.key, %first
  %each.inside = icmp ule i32 %each.away, %span
  br i1 %each.inside, label %each.hit, label %each.latch
each.hit:
  {_increment(".e", "%each.away", "0")}
  br label %each.latch
each.latch:
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j.next, %n
  br i1 %j.more, label %each, label %end
end:
  ret void
}}
"""


_LOCK = Lock()
_FUNCTIONS: dict[str, Any] = {}


def _function(name: str, *arguments: Any) -> Any:
    """A function of the module, which is compiled at its first use and then stays."""
    with _LOCK:
        if name not in _FUNCTIONS:
            if "module" not in _FUNCTIONS:
                _FUNCTIONS["module"] = machine.compile(_COUNT + _TALLY)
            _FUNCTIONS[name] = ctypes.CFUNCTYPE(None, *arguments)(_FUNCTIONS["module"].address(name))
        return _FUNCTIONS[name]


def count(values: Tensor, shift: int, offset: int, counts: Tensor) -> bool:
    """Adds each number to the bin of its order's upper bits; returns whether there was no NaN.

    Bin b holds orders whose bits above ``shift`` are ``offset + b``; the first and the last bin take what lies beyond.
    ``values``: contiguous float32. ``counts``: int32, one per bin; its sign bit is set where any number of the bin has
    bits below ``shift``.
    """
    nan = ctypes.c_int32(0)
    last = counts.numel() - 1
    function = _function("count", _LONG, _POINTER, _INT, _INT, _INT, _POINTER, _POINTER)
    function(values.numel(), values.data_ptr(), shift, offset, last, counts.data_ptr(), ctypes.addressof(nan))
    return nan.value == 0


def tally(values: Tensor, first: int, counts: Tensor) -> None:
    """Counts the numbers whose orders are ``first``, ``first + 1`` and so on, one int32 for each order."""
    function = _function("tally", _LONG, _POINTER, ctypes.c_uint32, ctypes.c_uint32, _POINTER)
    function(values.numel(), values.data_ptr(), first, counts.numel() - 1, counts.data_ptr())


def order(value: float) -> int:
    """The order of a number's float32."""
    bits = int(torch.tensor(value, dtype=torch.float32).view(torch.int32)) & 0xFFFFFFFF
    return bits ^ (0xFFFFFFFF if bits >> 31 else 0x80000000)


def number(order: int) -> float:
    """The float32 of an order."""
    bits = order ^ (0x80000000 if order >> 31 else 0xFFFFFFFF)
    signed = bits - 2**32 if bits >> 31 else bits
    return float(torch.tensor(signed, dtype=torch.int32).view(torch.float32))
