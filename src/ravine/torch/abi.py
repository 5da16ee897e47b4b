"""Where torch's objects have what no function tells, found out by trial, and the functions that it exports.

Nothing here is known by version: each fact is tried on tensors whose answer is known, and where one doesn't come out
right, everything is done through Python as if this module were not there.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ravine.torch.libraries import address, library

GRAD = "_ZNK3c1010TensorImpl4gradEv"
"""c10::TensorImpl::grad() const, which returns a reference: the gradient, or a tensor that is undefined."""

BUMP = "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE"
"""torch::autograd::impl::bump_version(const at::Tensor&)"""

SHIM = tuple(f"aoti_torch_get_{fact}" for fact in ("dtype", "dim", "sizes", "strides", "data_ptr"))
PYTHON = ("PyList_Size", "PyList_GetItem", "PyDict_Next")

WORD = 8
IMPL_SIZE = 192
"""Bytes at the front of a TensorImpl that are looked through."""


@dataclass(frozen=True, eq=False)
class Abi:
    """Offsets in bytes: of a Python object's type, of a Python tensor's at::Tensor, of a TensorImpl's dispatch keys.

    `functions` are the addresses of functions by name; `undefined` is the TensorImpl of no tensor.
    """

    type_offset: int
    tensor_offset: int
    keys_offset: int
    functions: dict[str, int]
    undefined: int

    def keys(self, tensor: Tensor) -> int:
        """The set of dispatch keys, in bits."""
        return _word(tensor._cdata + self.keys_offset)

    def elements(self, tensor: Tensor) -> int:
        """torch's number of the type of elements."""
        return _ask(self.functions[SHIM[0]], id(tensor) + self.tensor_offset, ctypes.c_int32)


@functools.cache
def abi() -> Abi | None:
    """What was found out about this process's Python and torch; None where something didn't come out right."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != WORD or sys.byteorder != "little":
        return None
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    try:
        found = _find()
        return found if _is_right(found) else None
    except (OSError, AttributeError, TypeError, ValueError, RuntimeError):
        return None


def _find() -> Abi:
    samples = _samples()
    plain = [t for t in samples if type(t) in (Tensor, torch.nn.Parameter)]
    size = torch._C.TensorBase.__basicsize__
    functions = _functions()
    bare = torch.empty(1, device="cpu")
    grad = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(functions[GRAD])
    return Abi(
        type_offset=_offset(plain, size, id, lambda t: id(type(t))),
        tensor_offset=_offset(plain, size, id, lambda t: t._cdata),
        keys_offset=_offset(samples, IMPL_SIZE, lambda t: t._cdata, lambda t: torch._C._dispatch_keys(t).raw_repr()),
        functions=functions,
        undefined=_word(grad(bare._cdata)),
    )


def _samples() -> list[Any]:
    """Tensors that differ in their dispatch keys."""
    with torch.inference_mode():
        made = [torch.ones(3)]
    ones = torch.ones(3)
    made += [
        ones,
        torch.nn.Parameter(torch.ones(2, 2)),
        torch._neg_view(ones),
        torch.ones(3, dtype=torch.complex64).conj(),
    ]
    return [*made, ones.to_sparse(), torch.ones(3, device="meta")]


def _offset(samples: Iterable[Any], size: int, start: Callable[[Any], int], value: Callable[[Any], int]) -> int:
    """The one place behind `start` where each sample has its `value`."""
    (offset,) = (k for k in range(0, size, WORD) if all(_word(start(t) + k) == value(t) for t in samples))
    return offset


def _functions() -> dict[str, int]:
    c10, cpu = library("c10"), library("torch_cpu")
    sources = [(c10, GRAD), (cpu, BUMP), *((cpu, name) for name in SHIM), *((ctypes.pythonapi, n) for n in PYTHON)]
    return {name: address(place, name) for place, name in sources}


def _is_right(found: Abi) -> bool:
    """Whether every function answers as Python does."""
    p = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.bfloat16, device="cpu").T)
    grad = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(found.functions[GRAD])
    bump = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(found.functions[BUMP])
    handle = id(p) + found.tensor_offset
    if _word(grad(p._cdata)) != found.undefined:
        return False
    p.grad = torch.zeros_like(p)
    before = p._version
    bump(handle)
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.int64)
    sizes, strides = (_ask(found.functions[name], handle, ctypes.c_int64) for name in SHIM[2:4])
    return (
        _word(grad(p._cdata)) == p.grad._cdata
        and p._version == before + 1
        and _ask(found.functions[SHIM[1]], handle, ctypes.c_int64) == p.dim()
        and [_word(sizes + WORD * k) for k in range(2)] == list(p.shape)
        and [_word(strides + WORD * k) for k in range(2)] == list(p.stride())
        and _ask(found.functions[SHIM[4]], handle, ctypes.c_int64) == p.data_ptr()
        and len({found.elements(torch.empty(1, dtype=dtype, device="cpu")) for dtype in dtypes}) == len(dtypes)
    )


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _ask(function: int, handle: int, kind: Any) -> int:
    """What a function of the C shim tells about a tensor."""
    answer = kind()
    if ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(function)(handle, ctypes.addressof(answer)):
        raise ValueError("torch refuses to tell a fact about a tensor")
    return int(answer.value)
