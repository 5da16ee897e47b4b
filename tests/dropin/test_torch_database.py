"""torch's own database of optimizer configurations, valid and invalid, drives our classes."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from steplock import NAMES, ULPS, copy_into, default_dtype, gaps, ours, snapshot, theirs
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db

EVERY = (*NAMES, "SparseAdam", "Muon", "Adafactor")
INFO = {info.optim_cls.__name__: info for info in optim_db if info.optim_cls.__name__ in EVERY}
REAL_ONLY = ("SparseAdam", "Muon", "Adafactor")
SHAPES = {"SparseAdam": [(3, 5), (17,), (2, 3, 4)], "Muon": [(3, 5), (7, 2), (1, 4), (4, 4)]}
"""What some of torch's classes can step."""
VALID = [(n, c.desc, c.kwargs) for n, info in INFO.items() for c in info.optim_inputs_func(device="cpu")]
INVALID = [
    (name, case.optimizer_error_input.desc, number)
    for name, info in INFO.items()
    for number, case in enumerate(info.optim_error_inputs_func("cpu", torch.float32))
]


def test_the_database_has_every_class() -> None:
    assert set(INFO) == set(EVERY)
    assert len(VALID) > 50
    assert len(INVALID) > 60


def parameters(name: str, dtype: Any) -> list[Any]:
    random = torch.Generator().manual_seed(0)
    shapes = SHAPES.get(name, [(3, 5), (17,), (), (2, 3, 4)])
    return [torch.nn.Parameter(torch.randn(s, generator=random, dtype=torch.float64).to(dtype)) for s in shapes]


def give_gradients(name: str, step: int, options: dict[str, Any], *lists: list[Any]) -> None:
    random = torch.Generator().manual_seed(step + 1)
    for row in zip(*lists, strict=True):
        kind = torch.complex128 if row[0].is_complex() else torch.float64
        g = torch.randn(row[0].shape, generator=random, dtype=kind)
        if options.get("weight_decay"):  # g + λx must not cancel: the last bit would become the first
            a, x = (torch.view_as_real(t.detach()) if t.is_complex() else t.detach() for t in (g, row[0]))
            a.copy_(a.abs() * x.sign() * (-1 if options.get("maximize") else 1))
        if name == "SparseAdam":
            g = as_embeddings_do(g, random)
        for p in row:
            p.grad = g.to(p.dtype)


def as_embeddings_do(g: Any, random: Any) -> Any:
    """A sparse gradient of some rows, one of them twice, as that of a batch in which a word comes twice."""
    rows = torch.randint(len(g), (1, 1 + len(g) // 2), generator=random)
    rows = torch.cat([rows, rows[:, :1]], 1)
    return torch.sparse_coo_tensor(rows, g[rows[0]], g.shape, check_invariants=True)


def run_side_by_side(name: str, dtype: Any, options: dict[str, Any], steps: int, tolerance: float) -> None:
    a, b = parameters(name, dtype), parameters(name, dtype)
    reference, optimizer = theirs(name)(a, **deepcopy(options)), ours(name)(b, **deepcopy(options))
    for step in range(steps):
        before = snapshot(reference, a)
        give_gradients(name, step, options, a, b)
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
    name: str, _description: str, options: dict[str, Any], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype is torch.complex128 and name in REAL_ONLY:
        pytest.skip("torch's class refuses complex parameters")
    if name == "Muon":  # torch's own lines, but that it multiplies in bfloat16
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    if name in ("Muon", "SparseAdam") and isinstance(options.get("lr"), torch.Tensor):
        options = options | {"lr": options["lr"].to(dtype)}  # torch multiplies in the type of the rate's tensor
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


def test_untouched_rows_stay_and_a_dense_gradient_is_refused() -> None:
    p = torch.nn.Parameter(torch.ones(4, 2))
    optimizer = ours("SparseAdam")([p], lr=0.1)
    p.grad = torch.sparse_coo_tensor(torch.tensor([[1, 3]]), torch.ones(2, 2), (4, 2), check_invariants=True)
    optimizer.step()
    assert (p[[0, 2]] == 1).all()
    assert (p[[1, 3]] < 1).all()
    assert (optimizer.state[p]["exp_avg"][[0, 2]] == 0).all()
    p.grad = torch.ones(4, 2)
    with pytest.raises(RuntimeError, match="does not support dense gradients"):
        optimizer.step()


def test_sparse_state_goes_both_ways() -> None:
    rows = torch.tensor([[2, 0]])
    params = [torch.nn.Parameter(torch.ones(4, 2)) for _ in range(2)]
    first, second = theirs("SparseAdam")(params[:1], lr=0.1), ours("SparseAdam")(params[1:], lr=0.1)
    for step in range(6):
        for p, optimizer in zip(params, (first, second), strict=True):
            p.grad = torch.sparse_coo_tensor(rows, torch.full((2, 2), 0.5 + step), (4, 2), check_invariants=True)
            optimizer.step()
        if step % 2:  # each goes on from the other's state
            saved = first.state_dict(), second.state_dict()
            first, second = theirs("SparseAdam")(params[:1], lr=1.0), ours("SparseAdam")(params[1:], lr=1.0)
            first.load_state_dict(deepcopy(saved[1]))
            second.load_state_dict(deepcopy(saved[0]))
            assert second.state[params[1]]["step"] == step + 1
            assert type(second.state[params[1]]["step"]) is int
    torch.testing.assert_close(*params)


def test_muon_is_torchs_to_bfloat16_and_takes_its_state() -> None:
    params = [torch.nn.Parameter(torch.ones(4, 3) + torch.arange(12.0).view(4, 3) / 9) for _ in range(2)]
    first, second = theirs("Muon")(params[:1], lr=0.1), ours("Muon")(params[1:], lr=0.1)
    for step in range(6):
        before = params[0].detach().clone()
        for p, optimizer in zip(params, (first, second), strict=True):
            p.grad = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
            optimizer.step()
        gap, length = (params[0] - params[1]).norm(), (params[0] - before).norm()
        assert gap <= 0.03 * length
        params[1].data.copy_(params[0])
        torch.testing.assert_close(
            *(o.state[p]["momentum_buffer"] for o, p in zip((first, second), params, strict=True))
        )
        saved = first.state_dict(), second.state_dict()
        first.load_state_dict(deepcopy(saved[1]))
        second.load_state_dict(deepcopy(saved[0]))
