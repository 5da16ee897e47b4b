"""Narrow state on torch tensors, by torch's operations: for what no kernel takes. The bits of `engines.storage`."""

from __future__ import annotations

import torch
from torch import Tensor

from ravine.engines.storage.codes import (
    BIAS,
    BLOCK,
    HALF,
    INFINITY,
    MAGNITUDE,
    NAN,
    NORMAL,
    SHIFT,
    SMALLEST,
    TOP,
    blocks,
)
from ravine.engines.storage.noise import MIX, OFFSET, PLACE, STRIDE, WORD, slot_seed

KINDS = {torch.int8: "int8", torch.uint8: "uint8"}
"""The codes by the type of their tensor."""

DTYPES = {"int8": torch.int8, "uint8": torch.uint8, "bfloat16": torch.bfloat16, "float32": torch.float32}


def encode(values: Tensor, kind: str, seed: int | None = None, slot: int = 0) -> tuple[Tensor, Tensor]:
    """(codes in the shape of `values`, contiguous; scales): by the seed of a step for slot number `slot` of those that
    are rounded at random, or to the nearest."""
    flat = values.detach().to(torch.float32).contiguous().view(-1)
    n = flat.numel()
    scale = _scales(flat)
    unit = _finite(scale)
    inverse = torch.where(unit == 0, 0.0, torch.ones_like(unit) / unit)
    magnitude = flat.abs()
    y = magnitude * inverse.repeat_interleave(BLOCK)[:n]
    bits = _bits(y)
    if seed is None:
        add = (1 << SHIFT - 1) - 1 + (bits >> SHIFT & 1)
        is_up = y * 2 >= SMALLEST[kind]
    else:
        add = _draw_by_block(flat, *slot_seed(seed, slot))
        is_up = y * torch.tensor(2**SHIFT / SMALLEST[kind], dtype=torch.float32, device=y.device) > add.float()
    if kind == "uint8":
        is_up = magnitude != 0
    code = (bits + add >> SHIFT) - BIAS[kind]
    code = torch.where(code < 1, is_up.to(torch.int64), code).clamp(max=TOP[kind])
    if kind == "int8":
        code = torch.where(flat < 0, code | TOP[kind] + 1, code)
    return code.to(torch.uint8).view(DTYPES[kind]).view(values.shape), scale


def decode(codes: Tensor, scale: Tensor) -> Tensor:
    """The float32 numbers that codes stand for."""
    kind = KINDS[codes.dtype]
    whole = codes.detach().contiguous().view(-1).view(torch.uint8).to(torch.int64)
    size = whole & TOP[kind]
    half = torch.where(scale.isinf(), HALF, 0).repeat_interleave(BLOCK)[: whole.numel()]
    bits = torch.where(size == 0, 0, (size + BIAS[kind] << SHIFT) + half) | whole - size << 24
    value = _single(bits) * _finite(scale).repeat_interleave(BLOCK)[: whole.numel()]
    return value.view(codes.shape)


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


def _scales(flat: Tensor) -> Tensor:
    padded = torch.cat([flat, flat.new_zeros(-flat.numel() % BLOCK)]).view(-1, BLOCK)
    bits = _bits(padded) & MAGNITUDE
    top = bits.amax(dim=1) if bits.numel() else bits.new_zeros(0)
    top = torch.where(top > INFINITY, NAN, top)
    return _single(torch.where((top > 0) & (top < NORMAL), NORMAL, top))


def _finite(scale: Tensor) -> Tensor:
    return torch.where(scale.isinf(), torch.finfo(torch.float32).max, scale)


def _bits(values: Tensor) -> Tensor:
    return values.view(torch.int32).to(torch.int64) & WORD


def _single(bits: Tensor) -> Tensor:
    """Floats of 32 bits each in an int64."""
    return torch.where(bits > MAGNITUDE, bits - (1 << 32), bits).to(torch.int32).view(torch.float32)
