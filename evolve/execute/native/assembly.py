"""The text of a loop in LLVM assembly.

Arguments: rows, columns, the number of the first element for noise, and pointers to the inputs' addresses, the scalars,
the noise keys, the output and a flag that is set where a stored number is not finite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evolve.execute.native.emitter import Emitter, Value
from evolve.execute.native.program import FULL, PER_COLUMN, PER_ROW, SQUARES, SUM, WIDTH, Program
from evolve.plan.noise import STEP


def assembly(program: Program) -> str:
    """The function ``loop`` in LLVM assembly: rows, and in each the full vectors and then what is left of the row."""
    head = Emitter(1, "h")
    for number in range(len(program.loads)):
        address = head.emit(f"getelementptr ptr, ptr %inputs, i64 {number}")
        head.lines.append(f"  %in{number} = load ptr, ptr {address}")
    scalars = [_scalar(head, "float", "scalars", number) for number in range(program.scalars)]
    keys = [_scalar(head, "i32", "keys", number) for number in range(2 * program.noises)]
    row = Emitter(1, "r")
    per_row = {
        number: row.load(load.dtype, f"%in{number}", "%row")
        for number, load in enumerate(program.loads)
        if load.layout == PER_ROW
    }
    values = (scalars, keys, per_row)
    parts = [_inner(program, "v", WIDTH, *values), _inner(program, "s", 1, *values)]
    return "\n".join(
        [
            "define void @loop(i64 %rows, i64 %columns, i64 %start, ptr noalias %inputs, ptr noalias %scalars, "
            "ptr noalias %keys, ptr noalias %out, ptr noalias %bad) nounwind {",
            "entry:",
            *head.lines,
            f"  %whole = and i64 %columns, -{WIDTH}",
            "  %nothing = icmp eq i64 %rows, 0",
            "  br i1 %nothing, label %end, label %rows.loop",
            "rows.loop:",
            "  %row = phi i64 [ 0, %entry ], [ %row.next, %rows.latch ]",
            "  %first = mul i64 %row, %columns",
            *row.lines,
            *_splats(program, scalars, keys, per_row),
            "  %any.vector = icmp sgt i64 %whole, 0",
            "  br i1 %any.vector, label %v.loop, label %v.end",
            *parts[0],
            "  %any.single = icmp slt i64 %whole, %columns",
            "  br i1 %any.single, label %s.loop, label %s.end",
            *parts[1],
            *(_row_sum() if program.dtype in (SUM, SQUARES) else []),
            "  br label %rows.latch",
            "rows.latch:",
            "  %row.next = add i64 %row, 1",
            "  %more.rows = icmp slt i64 %row.next, %rows",
            "  br i1 %more.rows, label %rows.loop, label %end",
            "end:",
            "  ret void",
            "}",
            _DECLARATIONS,
        ]
    )


_DECLARATIONS = "\n".join(
    [
        "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
        *(
            f"declare {vector} @llvm.{name}.{suffix}({vector})"
            for name in ("fabs", "sqrt")
            for vector, suffix in (("float", "f32"), (f"<{WIDTH} x float>", f"v{WIDTH}f32"))
        ),
    ]
)


def _scalar(head: Emitter, element: str, array: str, number: int) -> str:
    address = head.emit(f"getelementptr {element}, ptr %{array}, i64 {number}")
    return head.emit(f"load {element}, ptr {address}")


def _inner(program: Program, name: str, width: int, *values: Any) -> list[str]:
    """An inner loop over columns, by vectors (``v``) or what is left of a row (``s``)."""
    before, first, end = ("rows.loop", "0", "%whole") if name == "v" else ("v.end", "%whole", "%columns")
    emitter = Emitter(width, name)
    output = _output(emitter, program, f"%{name}", *values)
    adds = program.dtype in (SUM, SQUARES)
    double = emitter.type("double")
    zero = "0.0" if width == 1 else "zeroinitializer"
    lines = [
        f"{name}.loop:",
        f"  %{name}.column = phi i64 [ {first}, %{before} ], [ %{name}.next, %{name}.latch ]",
        *([f"  %{name}.sum = phi {double} [ {zero}, %{before} ], [ %{name}.added, %{name}.latch ]"] if adds else []),
        f"  %{name}.index = add i64 %first, %{name}.column",
    ]
    if adds:
        _add(emitter, output, name, program.dtype == SQUARES)
        lines += [*emitter.lines, f"  br label %{name}.latch"]
    else:
        flag = _store(emitter, program.dtype, output, f"%{name}.index")
        lines += [*emitter.lines, f"  br i1 {flag}, label %{name}.flag, label %{name}.latch"]
        lines += [f"{name}.flag:", "  store i32 1, ptr %bad", f"  br label %{name}.latch"]
    lines += [
        f"{name}.latch:",
        f"  %{name}.next = add i64 %{name}.column, {width}",
        f"  %{name}.more = icmp slt i64 %{name}.next, {end}",
        f"  br i1 %{name}.more, label %{name}.loop, label %{name}.end",
        f"{name}.end:",
    ]
    if adds:
        lines.append(f"  %{name}.all = phi {double} [ {zero}, %{before} ], [ %{name}.added, %{name}.latch ]")
    return lines


def _store(emitter: Emitter, dtype: str, output: Value, index: str) -> str:
    """Stores the output; the register tells whether any of it is not finite."""
    bad = emitter.store(dtype, output, "%out", index)
    if bad is None:
        return "false"
    if emitter.width > 1:
        mask = emitter.emit(f"bitcast <{emitter.width} x i1> {bad} to i{emitter.width}")
        bad = emitter.emit(f"icmp ne i{emitter.width} {mask}, 0")
    return bad


def _add(emitter: Emitter, output: Value, name: str, squares: bool) -> None:
    """Adds the output to the loop's sum, in float64."""
    double = emitter.type("double")
    term = emitter.cast("fpext", emitter.as_float(output), "float", "double")
    if squares:
        term = emitter.binary("fmul", "double", term, term)
    emitter.lines.append(f"  %{name}.added = fadd {double} %{name}.sum, {term}")


def _row_sum() -> list[str]:
    """The vector's lanes pairwise, then what was left of the row: the order of ``evolve.plan.kernels.block_sum``."""
    lines, lanes, current = [], WIDTH, "%v.all"
    while lanes > 1:
        half = lanes // 2
        for part, first in (("low", 0), ("high", half)):
            places = ", ".join(f"i32 {first + lane}" for lane in range(half))
            lines.append(
                f"  %{part}{half} = shufflevector <{lanes} x double> {current}, <{lanes} x double> poison, "
                f"<{half} x i32> <{places}>"
            )
        lines.append(f"  %pairs{half} = fadd <{half} x double> %low{half}, %high{half}")
        lanes, current = half, f"%pairs{half}"
    return [
        *lines,
        f"  %lanes.all = extractelement <1 x double> {current}, i32 0",
        "  %row.sum = fadd double %lanes.all, %s.all",
        "  %row.out = getelementptr double, ptr %out, i64 %row",
        "  store double %row.sum, ptr %row.out, align 8",
    ]


class _Splat(Emitter):
    """Names its registers after what they repeat, so that bodies can refer to them."""

    def named(self, name: str, element: str, scalar: str) -> None:
        first, vector = f"%{name}.first", self.type(element)
        self.lines.append(f"  {first} = insertelement {vector} poison, {element} {scalar}, i32 0")
        self.lines.append(
            f"  %{name} = shufflevector {vector} {first}, {vector} poison, <{self.width} x i32> zeroinitializer"
        )


def _splats(program: Program, scalars: Sequence[str], keys: Sequence[str], per_row: Mapping[int, Value]) -> list[str]:
    """Vectors of the numbers that are the same in a whole row."""
    emitter = _Splat(WIDTH, "w")
    for number, scalar in enumerate(scalars):
        emitter.named(f"scalar{number}", "float", scalar)
    for number, key in enumerate(keys):
        emitter.named(f"key{number}", "i32", key)
    for number, value in per_row.items():
        emitter.named(f"row{number}", "float" if value.kind == "float" else "i1", value.name)
    return emitter.lines


def _output(
    emitter: Emitter,
    program: Program,
    name: str,
    scalars: Sequence[str],
    keys: Sequence[str],
    per_row: Mapping[int, Value],
) -> Value:
    """Emits loads, noise and steps at one position of the loop."""
    vectors = emitter.width > 1
    index = {FULL: f"{name}.index", PER_COLUMN: f"{name}.column"}
    values: list[Value] = []
    for number, load in enumerate(program.loads):
        if load.layout == PER_ROW:
            values.append(Value(f"%row{number}" if vectors else per_row[number].name, per_row[number].kind))
        else:
            values.append(emitter.load(load.dtype, f"%in{number}", index[load.layout]))
    values += [Value(f"%scalar{number}" if vectors else scalar, "float") for number, scalar in enumerate(scalars)]
    if program.noises:
        counter = _counter(emitter, f"{name}.index")
        named = [f"%key{number}" if vectors else key for number, key in enumerate(keys)]
        pairs = zip(named[::2], named[1::2], strict=True)
        values += [emitter.uniform(counter, pair) for pair in pairs]
    for step in program.steps:
        values.append(emitter.apply(step.operation, [values[operand] for operand in step.operands]))
    return values[program.output]


def _counter(emitter: Emitter, index: str) -> str:
    """The elements' numbers in the whole tensor times the step of noise, as i32."""
    number = emitter.emit(f"trunc i64 {emitter.emit(f'add i64 %start, {index}')} to i32")
    first = emitter.emit(f"mul i32 {number}, {STEP}")
    if emitter.width == 1:
        return first
    lanes = ", ".join(f"i32 {lane * STEP % 2**32}" for lane in range(emitter.width))
    return emitter.emit(f"add <{emitter.width} x i32> {emitter.splat('i32', first)}, <{lanes}>")
