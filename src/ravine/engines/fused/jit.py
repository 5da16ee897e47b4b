"""LLVM IR, as text, to machine code that ctypes can call. ctypes lets go of the interpreter lock during a call."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Mapping
from typing import Any

from ravine.engines.fused import cache

OPTIMISE = 3
"""LLVM's level, of the passes and of the code generator."""

PASSES = {"loop_vectorization": True, "slp_vectorization": True}
"""The passes that are on besides the level's own."""

lock = threading.Lock()  # LLVM's global context is not for two threads at once
if hasattr(os, "register_at_fork"):  # nor for a child that was forked in the middle
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


class Compiled:
    """The functions of one module; the machine code lives as long as this object."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def address(self, name: str) -> int:
        """Where one function begins."""
        found: int = self._engine.get_function_address(name)
        return found

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """One function by name, with its ctypes types."""
        return ctypes.CFUNCTYPE(result, *arguments)(self._engine.get_function_address(name))


@functools.cache
def _target() -> Any:
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


@functools.cache
def _processor() -> tuple[str, str]:
    """The name and features of this processor."""
    from llvmlite import binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _machine() -> Any:
    cpu, features = _processor()
    return _target().create_target_machine(cpu=cpu, features=features, opt=OPTIMISE, jit=True)


@functools.cache
def has_half() -> bool:
    """Whether this processor converts float16 by itself, without a helper library."""
    import platform

    from llvmlite import binding as llvm

    return platform.machine() in ("aarch64", "arm64") or bool(llvm.get_host_cpu_features().get("f16c"))


@functools.cache
def has_wide_vectors() -> bool:
    """Whether this processor has vectors of 64 bytes and shuffles any two of them (AVX-512BW)."""
    from llvmlite import binding as llvm

    return bool(llvm.get_host_cpu_features().get("avx512bw"))


def compile_source(text: str, functions: Mapping[str, int] | None = None) -> Compiled:
    """Load a module for this processor: from the cache on disk, or compiled and kept there.

    `functions` are the addresses, by name, of what the text declares and the system's linker does not find.
    """
    from llvmlite import binding as llvm

    with lock:
        machine = _machine()
        name = cache.key(text, *compiler(), machine.triple, *_processor())
        code = cache.read(name)
        if code is None:
            code = machine.emit_object(optimised(text, machine, PASSES))
            cache.write(name, code)
        for symbol, address in (functions or {}).items():
            llvm.add_symbol(symbol, address)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return Compiled(engine)


def compiler() -> tuple[str, ...]:
    """What else machine code depends on than its source and the processor: LLVM's version and what it is told to do."""
    import llvmlite
    from llvmlite import binding as llvm

    return llvmlite.__version__, str(llvm.llvm_version_info), str(OPTIMISE), str(PASSES)


def assembly(text: str) -> str:
    """The assembler text that a module becomes on this processor."""
    with lock:
        machine = _machine()
        listing: str = machine.emit_assembly(optimised(text, machine, PASSES))
        return listing


def optimised(text: str, machine: Any, chosen: Mapping[str, bool]) -> Any:
    """The module of a text after LLVM's passes for a machine; `chosen` are those that are on or off besides."""
    from llvmlite import binding as llvm

    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=OPTIMISE)
    for name, is_on in chosen.items():
        setattr(options, name, is_on)
    passes = llvm.create_pass_builder(machine, options).getModulePassManager()
    passes.run(module, llvm.create_pass_builder(machine, options))
    return module
