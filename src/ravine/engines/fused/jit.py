"""LLVM IR, as text, to machine code that ctypes can call. ctypes lets go of the interpreter lock during a call."""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache
from typing import Any

_lock = threading.Lock()  # LLVM's global context is not for two threads at once
if hasattr(os, "register_at_fork"):  # nor for a child that was forked in the middle
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Compiled:
    """The functions of one module; the machine code lives as long as this object."""

    def __init__(self, engine: Any, assembly: str) -> None:
        self._engine = engine
        self.assembly = assembly

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """One function by name, with its ctypes types."""
        return ctypes.CFUNCTYPE(result, *arguments)(self._engine.get_function_address(name))


@cache
def _target() -> Any:
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def _machine() -> Any:
    from llvmlite import binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    return _target().create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True)


@cache
def has_half() -> bool:
    """Whether this processor converts float16 by itself, without a helper library."""
    import platform

    from llvmlite import binding as llvm

    return platform.machine() in ("aarch64", "arm64") or bool(llvm.get_host_cpu_features().get("f16c"))


def compile_source(text: str, *, assembly: bool = False) -> Compiled:
    """Optimise and load a module for this processor. `assembly` keeps its assembler text, for tests."""
    from llvmlite import binding as llvm

    with _lock:
        machine = _machine()
        module = llvm.parse_assembly(text)
        module.triple = machine.triple
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = True
        options.slp_vectorization = True
        passes = llvm.create_pass_builder(machine, options).getModulePassManager()
        passes.run(module, llvm.create_pass_builder(machine, options))
        listing = machine.emit_assembly(module) if assembly else ""
        engine = llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        return Compiled(engine, listing)
