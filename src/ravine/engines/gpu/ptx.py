"""LLVM IR, as text, to PTX, which a driver translates for its card. Kept on disk as machine code is."""

from __future__ import annotations

import functools
from typing import Any

from ravine.engines.fused import cache, jit
from ravine.engines.gpu.target import Target

TRIPLE = "nvptx64-nvidia-cuda"

PASSES = {"loop_vectorization": False, "slp_vectorization": False}
"""The passes that are on or off besides the level's own: the bodies are vectors already."""


@functools.cache
def _llvm() -> Any:
    from llvmlite import binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


def compile_source(text: str, target: Target) -> str:
    """The PTX of a module: from the cache on disk, or compiled and kept there."""
    with jit.lock:
        name = cache.key(text, *jit.compiler(), str(PASSES), TRIPLE, target.processor, target.ptx)
        code = cache.read(name)
        if code is None:
            code = _compiled(text, target).encode()
            cache.write(name, code)
        return code.decode()


def _compiled(text: str, target: Target) -> str:
    llvm = _llvm()
    options = {"cpu": target.processor, "features": target.ptx, "opt": jit.OPTIMISE}
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(**options)
    text = f'target datalayout = "{machine.target_data}"\n{text}'
    listing: str = machine.emit_assembly(jit.optimised(text, machine, PASSES))
    return listing
