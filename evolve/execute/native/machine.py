"""LLVM as a just-in-time compiler for this machine."""

from __future__ import annotations

import platform
from functools import cache
from importlib import import_module
from typing import Any

# The least that shows whether this machine can compile.
_PROBE = "define i32 @probe() {\n  ret i32 1\n}"
_X86 = ("x86_64", "amd64", "i686")
_ARM64 = ("aarch64", "arm64")


class Module:
    """Machine code that lives as long as this object."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def address(self, function: str) -> int:
        """Where a function of the module begins."""
        return int(self._engine.get_function_address(function))


@cache
def is_available() -> bool:
    """Whether there is a compiler for this machine; where there is none torch computes everything."""
    try:
        compile(_PROBE)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return False
    return True


@cache
def converts_half() -> bool:
    """Whether the processor has instructions from and to float16.

    Without them LLVM calls a function that it cannot find, and ends the process.
    """
    if platform.machine().lower() in _X86:
        return is_available() and bool(_llvm().get_host_cpu_features().get("f16c"))
    return platform.machine().lower() in _ARM64


@cache
def _llvm() -> Any:
    llvm = import_module("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def compile(text: str) -> Module:
    """Compiles LLVM assembly; takes 5 to 40 ms for the loops of a plan."""
    llvm = _llvm()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
    )
    module = llvm.parse_assembly(text)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return Module(engine)
