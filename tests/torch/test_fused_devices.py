"""`fused=True` where torch has no fused kernel: torch's error, not a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ravine.torch


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "AdamW"])
def test_what_torch_cannot_fuse_raises_torchs_error(name: str, device: str) -> None:
    def attempt(module: Any) -> str:
        kind = torch.complex64 if device == "cpu" else torch.float32
        p = torch.nn.Parameter(torch.ones(3, dtype=kind, device=device))
        p.grad = torch.ones_like(p)
        with pytest.raises(RuntimeError) as caught:
            getattr(module, name)([p], lr=0.1, fused=True).step()
        return str(caught.value)

    wanted = attempt(torch.optim)
    assert "`fused=True` requires all the params to be floating point Tensors" in wanted
    assert attempt(ravine.torch) == wanted


@pytest.mark.parametrize("fused", [False, None])
def test_without_fused_complex_parameters_are_stepped(fused: bool | None) -> None:
    p = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
    p.grad = torch.ones_like(p)
    ravine.torch.Adam([p], lr=0.1, fused=fused).step()
    assert p.detach().ne(1).all()
