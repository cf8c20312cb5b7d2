"""LLVM as a just-in-time compiler for this machine."""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm


class Module:
    """Machine code that lives as long as this object."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def address(self, function: str) -> int:
        """Where a function of the module begins."""
        return int(self._engine.get_function_address(function))


@cache
def _target() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def compile(text: str) -> Module:
    """Compiles LLVM assembly; takes 5 to 40 ms for the loops of a plan."""
    target = _target()
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
    )
    module = llvm.parse_assembly(text)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return Module(engine)
