"""Checkpoints go from torch.optim to us and back, and nothing is shared, cast or lost on the way."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from steplock import FACTORED, NAMES, default_dtype, ours, theirs

import ravine.torch

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5}],
    "RMSprop": [{"momentum": 0.9, "centered": True}],
    "Adagrad": [{"lr_decay": 0.1}],
    "Adam": [{}, {"amsgrad": True}],
}
CASES = [(name, options) for name in (*NAMES, *FACTORED) for options in OPTIONS.get(name, [{}])]


def parameters(dtype: Any = torch.float64) -> list[Any]:
    random = torch.Generator().manual_seed(3)
    shapes = [(4, 3), (5,), ()]
    return [torch.nn.Parameter(torch.randn(s, generator=random, dtype=torch.float64).to(dtype)) for s in shapes]


def train(optimizer: Any, params: list[Any], steps: range) -> None:
    for number in steps:
        random = torch.Generator().manual_seed(number)
        for p in params:
            p.grad = torch.randn(p.shape, generator=random, dtype=torch.float64).to(p.dtype)
        optimizer.step()


def through_file(state_dict: Any) -> Any:
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_run_may_change_hands_at_any_step(name: str, options: dict[str, Any]) -> None:
    """torch → ours → torch → ours, through files, gives the run of torch alone."""
    with default_dtype(torch.float64):
        wanted = parameters()
        train(theirs(name)(wanted, **options), wanted, range(9))
        params = parameters()
        optimizer = theirs(name)(params, **options)
        train(optimizer, params, range(2))
        for turn, kind in enumerate((ours(name), theirs(name), ours(name))):
            saved = through_file(optimizer.state_dict())
            optimizer = kind(params, lr=77.0)  # the checkpoint knows better
            optimizer.load_state_dict(saved)
            train(optimizer, params, range(2 + 2 * turn, 4 + 2 * turn))
        train(optimizer, params, range(8, 9))
    for p, q in zip(params, wanted, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_dicts_have_torchs_names_types_and_shapes(name: str, options: dict[str, Any]) -> None:
    fused = [{"fused": True}] if name in ("SGD", "Adagrad", "Adam", "AdamW") else []
    for dtype, more in itertools.product((torch.float32, torch.bfloat16, torch.float64), ({}, *fused)):
        both = []
        for kind in (theirs(name), ours(name)):
            params = parameters(dtype)
            with default_dtype(torch.float64):
                optimizer = kind(params, **options, **more)
                train(optimizer, params, range(2))
            both.append(optimizer.state_dict())
        assert both[0]["param_groups"] == both[1]["param_groups"]
        form = [
            {i: {n: (v.dtype, v.shape, v.device) for n, v in s.items()} for i, s in d["state"].items()} for d in both
        ]
        assert form[0] == form[1]


@pytest.mark.parametrize("name", [n for n in (*NAMES, *FACTORED) if n != "SGD"])
def test_an_old_checkpoint_with_an_integer_step_loads(name: str) -> None:
    results = []
    for kind in (theirs(name), ours(name)):
        params = parameters()
        first = theirs(name)(params)
        train(first, params, range(4))
        old = copy.deepcopy(first.state_dict())
        for state in old["state"].values():
            state["step"] = int(state["step"])
        optimizer = kind(params)
        optimizer.load_state_dict(old)
        train(optimizer, params, range(4, 8))
        assert all(torch.is_tensor(s["step"]) and s["step"] == 8 for s in optimizer.state.values())
        results.append(params)
    for p, q in zip(*results, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)  # the step counts are float32


@pytest.mark.parametrize("make", [ravine.torch.Lion, lambda p: ravine.torch.from_recipe(p, "rmsprop_momentum")])
def test_classes_that_torch_lacks_do_all_of_it_too(make: Any) -> None:
    params, others = parameters(), parameters()
    first, second = make(params), make(others)
    train(first, params, range(3))
    with torch.no_grad():
        for p, q in zip(params, others, strict=True):
            q.copy_(p)
    old = through_file(first.state_dict())
    for state in old["state"].values():
        state["step"] = int(state["step"])
    second.load_state_dict(old)
    train(first, params, range(3, 6))
    train(second, others, range(3, 6))
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_loading_copies(name: str, options: dict[str, Any]) -> None:
    params, others = parameters(), parameters()
    first, second = ours(name)(params, **options), ours(name)(others, **options)
    train(first, params, range(2))
    saved = first.state_dict()
    before = copy.deepcopy(saved)
    second.load_state_dict(saved)
    train(second, others, range(2, 4))
    for i, state in before["state"].items():
        assert all(torch.equal(v, saved["state"][i][n]) for n, v in state.items())
    assert saved["param_groups"] == before["param_groups"]


def test_loading_lets_go_of_the_old_state() -> None:
    params = parameters()
    optimizer = ours("Adam")(params)
    train(optimizer, params, range(2))
    old = weakref.ref(optimizer.state[params[0]]["exp_avg"])
    optimizer.load_state_dict(through_file(optimizer.state_dict()))
    assert old() is None


def test_float32_state_of_bfloat16_parameters_stays_float32() -> None:
    wide, narrow = parameters(torch.float32), parameters(torch.bfloat16)
    first = theirs("NAdam")(wide)
    train(first, wide, range(2))
    second = ours("NAdam")(narrow)
    second.load_state_dict(first.state_dict())
    assert all(v.dtype is torch.float32 for s in second.state.values() for v in s.values())
    train(second, narrow, range(2, 4))
    third = ours("NAdam")(narrow)
    third.load_state_dict(through_file(second.state_dict()))
    for p in narrow:
        assert all(torch.equal(v, second.state[p][n]) for n, v in third.state[p].items())
        assert all(v.dtype is torch.float32 for v in third.state[p].values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_number_kept_per_parameter_keeps_its_type(dtype: Any) -> None:
    """NAdam's product of momenta, also where the parameter is a single number too."""
    params = [torch.nn.Parameter(torch.ones((), dtype=dtype)), torch.nn.Parameter(torch.ones(3, dtype=dtype))]
    for kind in (theirs("NAdam"), ours("NAdam")):
        first, second = kind(params), ours("NAdam")(params)
        train(first, params, range(2))
        second.load_state_dict(through_file(first.state_dict()))
        for p in params:
            assert second.state[p]["mu_product"].dtype is torch.float32
            assert second.state[p]["exp_avg"].dtype is dtype


def test_narrow_state_of_wide_parameters_becomes_wide() -> None:
    """As in torch: only digits that would be lost are kept against its rule."""
    wide, narrow = parameters(torch.float32), parameters(torch.bfloat16)
    first = ours("Adam")(narrow)
    train(first, narrow, range(2))
    second = ours("Adam")(wide)
    second.load_state_dict(first.state_dict())
    assert all(second.state[p]["exp_avg"].dtype is torch.float32 for p in wide)


def test_a_declared_state_type_is_kept() -> None:
    def make(params: list[Any]) -> Any:
        return ravine.torch.from_recipe(params, "adam", state_dtype=torch.bfloat16)

    params, others = parameters(torch.float32), parameters(torch.float32)
    first, second = make(params), make(others)
    train(first, params, range(2))
    second.load_state_dict(through_file(first.state_dict()))
    for p, q in zip(params, others, strict=True):
        assert second.state[q]["m"].dtype is torch.bfloat16
        assert torch.equal(second.state[q]["m"], first.state[p]["m"])


@pytest.mark.parametrize("name", [*NAMES, *FACTORED])
def test_a_group_without_parameters_comes_back(name: str) -> None:
    params = parameters()

    def make(kind: Any) -> Any:
        return kind([{"params": [], "lr": 0.5}, {"params": params}], lr=0.25)

    first = make(ours(name))
    train(first, params, range(2))
    for kind in (ours(name), theirs(name)):
        second = make(kind)
        second.load_state_dict(through_file(first.state_dict()))
        assert second.param_groups[0]["lr"] == 0.5
        train(second, params, range(2, 3))
    again = make(ours(name))
    again.load_state_dict(second.state_dict())
    assert {k: v for k, v in again.param_groups[0].items() if k != "params"} == {
        k: v for k, v in first.param_groups[0].items() if k != "params"
    }
    assert again.param_groups[1].keys() == first.param_groups[1].keys()


@pytest.mark.parametrize("name", [*NAMES, *FACTORED])
def test_a_wrong_checkpoint_is_refused_as_torch_refuses_it(name: str) -> None:
    saved = theirs(name)(parameters()).state_dict()
    for wrong in (parameters()[:2], [{"params": [p]} for p in parameters()]):
        messages = []
        for kind in (theirs(name), ours(name)):
            with pytest.raises(ValueError, match="loaded state dict") as caught:
                kind(wrong if isinstance(wrong[0], torch.Tensor) else [dict(g) for g in wrong]).load_state_dict(saved)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_duplicate_goes_its_own_way(name: str, options: dict[str, Any], duplicate: Any) -> None:
    params = parameters()
    optimizer = ours(name)(params, on_nonfinite="skip", **options)
    train(optimizer, params, range(2))
    twin = duplicate(optimizer)
    others = twin.param_groups[0]["params"]
    train(optimizer, params, range(2, 4))
    assert not torch.equal(params[0], others[0])
    train(twin, others, range(2, 4))
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True))
    others[0].grad.fill_(torch.nan)
    twin.step()
    assert (twin.skipped_steps, optimizer.skipped_steps) == (1, 0)


def test_hooks_on_state_dicts_run() -> None:
    params = parameters()
    optimizer = ours("Adam")(params)
    seen = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: seen.append(f"before loading {d.pop('extra')}"))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("after loading"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["before saving", "before loading 1", "after loading"]
