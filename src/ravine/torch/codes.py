"""Narrow state on torch tensors, by torch's operations: for what no kernel takes. The bits of `engines.storage`."""

from __future__ import annotations

import torch
from torch import Tensor

from ravine.engines.storage.codes import BLOCK, INFINITY, LAST, MAGNITUDE, NAN, SHIFT, TOP, blocks
from ravine.engines.storage.noise import MIX, OFFSET, PLACE, STRIDE, WORD, slot_seed

KINDS = {torch.int8: "int8", torch.uint8: "uint8"}
"""The codes by the type of their tensor."""

DTYPES = {"int8": torch.int8, "uint8": torch.uint8, "bfloat16": torch.bfloat16, "float32": torch.float32}


def encode(values: Tensor, kind: str, seed: int | None = None, slot: int = 0) -> tuple[Tensor, Tensor]:
    """(codes in the shape of `values`, contiguous; scales): by the seed of a step for slot number `slot` of those that
    are rounded at random, or to the nearest."""
    flat = values.detach().to(torch.float32).contiguous().view(-1)
    n = flat.numel()
    scale = _scales(flat, kind)
    signed = _bits(flat)
    bits, first = signed & MAGNITUDE, _places(scale, kind, n)
    magnitude, smallest = flat.abs(), _single(first + 1 << SHIFT)
    if seed is None:
        add = (1 << SHIFT - 1) - 1 + (bits >> SHIFT & 1)
        is_up = magnitude * 2 >= smallest
    else:
        add = _draw_by_block(flat, *slot_seed(seed, slot))
        is_up = magnitude > add.float() * (smallest * 2.0**-SHIFT)
    if kind == "uint8":
        is_up = bits != 0
    code = (torch.maximum(bits + add >> SHIFT, first + is_up) - first).clamp(max=TOP[kind])
    if kind == "int8":
        code |= signed >> 24 & TOP[kind] + 1
    code[scale.isnan().repeat_interleave(BLOCK)[:n]] = TOP[kind]
    return code.to(torch.uint8).view(DTYPES[kind]).view(values.shape), scale


def decode(codes: Tensor, scale: Tensor) -> Tensor:
    """The float32 numbers that codes stand for."""
    kind = KINDS[codes.dtype]
    whole = codes.detach().contiguous().view(-1).view(torch.uint8).to(torch.int64)
    size = whole & TOP[kind]
    bits = torch.where(size == 0, 0, size + _places(scale, kind, whole.numel()) << SHIFT) | whole - size << 24
    return _single(bits).view(codes.shape)


def words(places: Tensor, seed: int) -> Tensor:
    """The hash of places, 32 bits each."""
    h = (places.to(torch.int64) * PLACE + seed) & WORD
    for shift, factor in MIX:
        h = ((h ^ (h >> shift)) * factor) & WORD
    return h


def cut(h: Tensor, bits: int, *, is_lower: bool) -> Tensor:
    """So many bits of a hash."""
    return h & (1 << bits) - 1 if is_lower else h >> 32 - bits


def _draw_by_block(flat: Tensor, seed: int, is_lower: bool) -> Tensor:
    numbers = torch.arange(blocks(flat.numel()), device=flat.device)
    stride, offset = (words(numbers, (seed + more) & WORD)[:, None] for more in (STRIDE, OFFSET))
    h = (torch.arange(BLOCK, device=flat.device) * stride + offset) & WORD
    return cut(h.view(-1)[: flat.numel()], SHIFT, is_lower=is_lower)


def _scales(flat: Tensor, kind: str) -> Tensor:
    padded = torch.cat([flat, flat.new_zeros(-flat.numel() % BLOCK)]).view(-1, BLOCK)
    bits = _bits(padded) & MAGNITUDE
    top = bits.amax(dim=1) if bits.numel() else bits.new_zeros(0)
    finite = (top + (1 << SHIFT) - 1 >> SHIFT).clamp(TOP[kind], LAST) << SHIFT
    return _single(torch.where(top > INFINITY, NAN, torch.where(top == INFINITY, INFINITY, finite)))


def _places(scale: Tensor, kind: str, n: int) -> Tensor:
    """For each of n elements the place on the grid that code 0 would have."""
    return ((_bits(scale) & MAGNITUDE) >> SHIFT).sub(TOP[kind]).clamp(min=0).repeat_interleave(BLOCK)[:n]


def _bits(values: Tensor) -> Tensor:
    return values.view(torch.int32).to(torch.int64) & WORD


def _single(bits: Tensor) -> Tensor:
    """Floats of 32 bits each in an int64."""
    return torch.where(bits > MAGNITUDE, bits - (1 << 32), bits).to(torch.int32).view(torch.float32)
