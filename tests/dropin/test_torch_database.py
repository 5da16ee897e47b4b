"""torch's own database of optimizer configurations, valid and invalid, drives our classes."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from steplock import NAMES, ULPS, copy_into, default_dtype, gaps, ours, snapshot, theirs
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

INFO = {info.optim_cls.__name__: info for info in optim_db if info.optim_cls.__name__ in NAMES}
VALID = [(n, c.desc, c.kwargs) for n, info in INFO.items() for c in info.optim_inputs_func(device="cpu")]
INVALID = [
    (name, case.optimizer_error_input.desc, number)
    for name, info in INFO.items()
    for number, case in enumerate(info.optim_error_inputs_func("cpu", torch.float32))
]


def test_the_database_has_every_class() -> None:
    assert set(INFO) == set(NAMES)
    assert len(VALID) > 50
    assert len(INVALID) > 60


def parameters(dtype: Any) -> list[Any]:
    random = torch.Generator().manual_seed(0)
    shapes = [(3, 5), (17,), (), (2, 3, 4)]
    return [torch.nn.Parameter(torch.randn(s, generator=random, dtype=torch.float64).to(dtype)) for s in shapes]


def give_gradients(step: int, options: dict[str, Any], *lists: list[Any]) -> None:
    random = torch.Generator().manual_seed(step + 1)
    for row in zip(*lists, strict=True):
        kind = torch.complex128 if row[0].is_complex() else torch.float64
        g = torch.randn(row[0].shape, generator=random, dtype=kind)
        if options.get("weight_decay"):  # g + λx must not cancel: the last bit would become the first
            a, x = (torch.view_as_real(t.detach()) if t.is_complex() else t.detach() for t in (g, row[0]))
            a.copy_(a.abs() * x.sign() * (-1 if options.get("maximize") else 1))
        for p in row:
            p.grad = g.to(p.dtype)


def run_side_by_side(name: str, dtype: Any, options: dict[str, Any], steps: int, tolerance: float) -> None:
    a, b = parameters(dtype), parameters(dtype)
    reference, optimizer = theirs(name)(a, **deepcopy(options)), ours(name)(b, **deepcopy(options))
    for step in range(steps):
        before = snapshot(reference, a)
        give_gradients(step, options, a, b)
        reference.step()
        optimizer.step()
        found = gaps(snapshot(reference, a), snapshot(optimizer, b), before)
        assert max(found.values()) <= tolerance, (step, found)
        copy_into(optimizer, b, reference, a)
    for p, q in zip(reference.param_groups, optimizer.param_groups, strict=True):
        assert p.keys() == q.keys()
        assert {k: v for k, v in p.items() if k != "params"} == {k: v for k, v in q.items() if k != "params"}
    assert repr(reference) == repr(optimizer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex128], ids=str)
@pytest.mark.parametrize(("name", "_description", "options"), VALID, ids=lambda v: v if isinstance(v, str) else "")
def test_every_valid_configuration_steps_as_torch(
    name: str, _description: str, options: dict[str, Any], dtype: Any
) -> None:
    with default_dtype(torch.float32 if dtype is torch.float32 else torch.float64):
        run_side_by_side(name, dtype, options, 25, ULPS.get(name, 8.0))


@pytest.mark.parametrize(("name", "_description", "number"), INVALID, ids=lambda v: v if isinstance(v, str) else "")
def test_every_error_is_torchs(name: str, _description: str, number: int) -> None:
    case = INFO[name].optim_error_inputs_func("cpu", torch.float32)[number]
    given = case.optimizer_error_input
    params = [torch.nn.Parameter(torch.ones(1))] if given.params is None else given.params

    def attempt(kind: Any) -> BaseException:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                optimizer = kind(deepcopy(params), **given.kwargs)
                assert case.error_on is OptimizerErrorEnum.STEP_ERROR
                optimizer.step()
        except Exception as error:
            return error
        raise AssertionError(f"{kind} raised nothing")

    wanted, got = attempt(theirs(name)), attempt(ours(name))
    assert type(got) is type(wanted) is case.error_type
    assert str(got) == str(wanted)
