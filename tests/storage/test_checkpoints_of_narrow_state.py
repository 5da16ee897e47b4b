"""Narrow state through files, to float32 and back, and resumed bit for bit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import ravine.torch
from ravine.torch import narrow

CASES = [
    ("Adam", {"state": "int8"}),
    ("Adam", {"state": "bfloat16"}),
    ("AdamW", {"state": "int8", "rounding": "remainder"}),
    ("SGD", {"momentum": 0.9, "state": "int8"}),
    ("RMSprop", {"momentum": 0.9, "state": "int8", "state_rounding": "nearest"}),
    ("Lion", {"state": "int8"}),
]


def parameters(dtype: Any = torch.float32) -> list[Any]:
    random = torch.Generator().manual_seed(3)
    return [torch.nn.Parameter(torch.randn(s, generator=random).to(dtype)) for s in ((80, 70), (11,))]


def train(optimizer: Any, params: list[Any], steps: range) -> None:
    for number in steps:
        random = torch.Generator().manual_seed(number)
        for p in params:
            p.grad = torch.randn(p.shape, generator=random).to(p.dtype)
        optimizer.step()


def by_torch(state_dict: Any, path: Path) -> Any:
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def by_safetensors(state_dict: Any, path: Path) -> Any:
    safetensors = pytest.importorskip("safetensors.torch")
    flat = {f"{i}.{key}": v for i, state in state_dict["state"].items() for key, v in state.items()}
    safetensors.save_file(flat, path / "state.safetensors")
    state: dict[int, dict[str, Any]] = {}
    for name, value in safetensors.load_file(path / "state.safetensors").items():
        state.setdefault(int(name.split(".")[0]), {})[name.split(".")[1]] = value
    return {"state": state, "param_groups": state_dict["param_groups"]}


@pytest.mark.parametrize("through", [by_torch, by_safetensors])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_resumed_run_goes_on_bit_for_bit(name: str, options: dict[str, Any], through: Any, tmp_path: Path) -> None:
    dtype = torch.bfloat16 if options.get("rounding") else torch.float32
    params, kind = parameters(dtype), getattr(ravine.torch, name)
    optimizer = kind(params, **options)
    train(optimizer, params, range(3))
    others = [torch.nn.Parameter(p.detach().clone()) for p in params]
    again = kind(others, **options)
    again.load_state_dict(through(optimizer.state_dict(), tmp_path))
    for p, q in zip(params, others, strict=True):
        assert optimizer.state[p].keys() == again.state[q].keys()
        for key, value in optimizer.state[p].items():
            assert torch.equal(value, again.state[q][key])
            assert value.dtype is again.state[q][key].dtype
    train(optimizer, params, range(3, 6))
    train(again, others, range(3, 6))
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if "rounding" not in c[1] and c[0] != "Lion"])
def test_to_torch_and_back(name: str, options: dict[str, Any]) -> None:
    """float32 state of what is stored goes to torch, and comes back number for number; the run goes on bit for bit."""
    params = parameters()
    optimizer = getattr(ravine.torch, name)(params, **options)
    train(optimizer, params, range(3))
    others = [torch.nn.Parameter(p.detach().clone()) for p in params]
    plain = {k: v for k, v in options.items() if k == "momentum"}
    theirs = getattr(torch.optim, name)(others, **plain)
    theirs.load_state_dict(ravine.torch.float32_state(optimizer.state_dict()))
    for p, q in zip(params, others, strict=True):
        assert all(v.dtype is torch.float32 for v in theirs.state[q].values())
        assert optimizer.state[p].keys() - {f"{k}_scale" for k in theirs.state[q]} == theirs.state[q].keys()
    back = getattr(ravine.torch, name)(params, **options)
    back.load_state_dict(theirs.state_dict())
    for p in params:
        held, again = narrow.widened(optimizer.state[p]), narrow.widened(back.state[p])
        assert all(torch.equal(v, again[k]) for k, v in held.items())
    train(theirs, others, range(3, 5))
    assert all(bool(q.isfinite().all()) for q in others)


def test_each_optimizer_keeps_its_own_choice() -> None:
    params = parameters()
    coded, wide = ravine.torch.Adam(params, state="int8"), ravine.torch.Adam(params)
    train(coded, params, range(2))
    wide.load_state_dict(coded.state_dict())
    assert "state" not in wide.param_groups[0]
    assert wide.state[params[0]].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert all(v.dtype is torch.float32 for v in wide.state[params[0]].values())
    other = ravine.torch.Adam(params, state="bfloat16")
    other.load_state_dict(coded.state_dict())
    assert other.param_groups[0]["state"] == "bfloat16"
    assert other.state[params[0]]["exp_avg"].dtype is torch.bfloat16
    assert other.param_groups[0]["rounding_steps"] == 2
    train(wide, params, range(2, 3))
    train(other, params, range(2, 3))


def test_a_parameter_and_its_remainder_are_float24_both_ways() -> None:
    params = parameters(torch.bfloat16)
    optimizer = ravine.torch.AdamW(params, rounding="remainder")
    values = {p: torch.randn(p.shape) * 10.0 ** torch.randint(-30, 30, p.shape) for p in params}
    ravine.torch.set_float32_parameters(optimizer, values)
    held = ravine.torch.float32_parameters(optimizer)
    for p, wanted in values.items():
        assert bool(((held[p] - wanted).abs() <= wanted.abs() * 2.0**-16).all())
        assert bool(((p.float() - wanted).abs() <= wanted.abs() * 2.0**-8).all())
    ravine.torch.set_float32_parameters(optimizer, held)
    assert all(torch.equal(v, ravine.torch.float32_parameters(optimizer)[p]) for p, v in held.items())


def test_a_zero_that_was_rounded_from_below_comes_back() -> None:
    params = parameters()
    optimizer = ravine.torch.SGD(params, momentum=0.9, state="int8")
    params[0].grad = torch.full_like(params[0], -1e-9)
    params[0].grad.view(-1)[::256] = 1.0
    optimizer.step()
    held = optimizer.state[params[0]]["momentum_buffer"]
    assert int((held == -128).sum()) > 100
    again = ravine.torch.SGD(params, momentum=0.9, state="int8")
    again.load_state_dict(ravine.torch.float32_state(optimizer.state_dict()))
    assert torch.equal(again.state[params[0]]["momentum_buffer"], held)
