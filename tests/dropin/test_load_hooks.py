"""Hooks around `load_state_dict` see and do what they see and do in torch: what they make of a state dict is loaded."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from steplock import FACTORED, NAMES, ours, theirs
from torch import nn

Hook = Callable[[Any, dict[str, Any]], Any]


def trained(kind: Any, names: list[str], *, dtype: Any = None, **options: Any) -> Any:
    """An optimizer over named parameters of different sizes, after a few steps."""
    sizes = {"a": 2, "b": 3, "c": 4}
    params = [(n, nn.Parameter(torch.linspace(1, 2, sizes[n], dtype=dtype or torch.float64))) for n in names]
    optimizer = kind(params, **options)
    for _ in range(2):
        for n, p in params:
            p.grad = torch.full_like(p, 0.1 * sizes[n])
        optimizer.step()
    return optimizer


def by_name(optimizer: Any, state_dict: dict[str, Any]) -> dict[str, Any]:
    """torch's own recipe: the state of parameters of the same name, whatever their number in the list."""
    adapted = deepcopy(optimizer.state_dict())
    for key, value in state_dict["param_groups"][0].items():
        if key not in ("params", "param_names"):
            adapted["param_groups"][0][key] = value
    saved = dict(
        zip(state_dict["param_groups"][0]["param_names"], state_dict["param_groups"][0]["params"], strict=True)
    )
    group = adapted["param_groups"][0]
    for name, number in zip(group["param_names"], group["params"], strict=True):
        if name in saved:
            adapted["state"][number] = state_dict["state"][saved[name]]
        else:
            adapted["state"].pop(number, None)
    return adapted


def by_name_in_place(optimizer: Any, state_dict: dict[str, Any]) -> None:
    state_dict.update(by_name(optimizer, state_dict))


def loaded(kind: Any, saved: list[str], names: list[str], hook: Hook, **options: Any) -> dict[str, Any]:
    """All state by the parameters' names, after a load and a step."""
    source, target = trained(kind, saved, **options), trained(kind, names, **options)
    target.register_load_state_dict_pre_hook(hook)
    target.load_state_dict(source.state_dict())
    state = dict(zip(target.param_groups[0]["param_names"], map(deepcopy, states(target)), strict=True))
    target.step()
    return {"loaded": state, "stepped": states(target), "params": target.param_groups[0]["params"]}


def states(optimizer: Any) -> list[Any]:
    return [dict(optimizer.state.get(p, {})) for group in optimizer.param_groups for p in group["params"]]


@pytest.mark.parametrize("hook", [by_name, by_name_in_place])
@pytest.mark.parametrize(("saved", "names"), [("abc", "cab"), ("ab", "acb"), ("abc", "cb")], ids=str)
@pytest.mark.parametrize("name", [*NAMES, *FACTORED])
def test_a_hook_that_finds_parameters_by_their_names(name: str, saved: str, names: str, hook: Hook) -> None:
    options = {"momentum": 0.9} if name == "SGD" else {}
    found = [loaded(ours(name), list(saved), list(names), hook, **options)]
    try:
        found.append(loaded(theirs(name), list(saved), list(names), hook, **options))
    except KeyError:
        assert name == "Adagrad"
        pytest.skip("this torch's own Adagrad makes state at its making alone, and can't step without")
    rounded = name in ("NAdam", "ASGD")  # torch goes on with a product of momenta, and with an eta, that are float32
    # and casts what it loads of them to the parameter's type
    torch.testing.assert_close(*found, rtol=1e-6 if rounded else 1e-10, atol=1e-12, check_dtype=not rounded)


def test_types_are_restored_for_the_parameter_that_a_hook_chose() -> None:
    """Wide state of narrow parameters, reordered; what a hook converts stays converted."""
    source = trained(ours("Adam"), ["a", "b"], dtype=torch.bfloat16)
    for state in source.state.values():
        state["exp_avg"] = state["exp_avg"].float() * 1.001
    target = trained(ours("Adam"), ["b", "a"], dtype=torch.bfloat16)
    target.register_load_state_dict_pre_hook(by_name)
    target.load_state_dict(source.state_dict())
    for state, wanted in zip(states(target), reversed(states(source)), strict=True):
        assert {k: v.dtype for k, v in state.items()} == {k: v.dtype for k, v in wanted.items()}
        assert all(torch.equal(state[k], wanted[k]) for k in wanted)


def test_what_a_hook_after_the_load_edits_stays() -> None:
    source = trained(ours("Adam"), ["a", "b"], dtype=torch.bfloat16)
    for state in source.state.values():
        state["exp_avg"] = state["exp_avg"].float()
    target = trained(ours("Adam"), ["a", "b"], dtype=torch.bfloat16)
    seen = []

    def edit(optimizer: Any) -> None:
        for state in optimizer.state.values():
            seen.append(state["exp_avg"].dtype)
            state["exp_avg"] = torch.zeros_like(state["exp_avg"], dtype=torch.bfloat16)
            state["step"] = 7

    target.register_load_state_dict_post_hook(edit)
    target.load_state_dict(source.state_dict())
    assert seen == [torch.float32] * 2, "a hook sees what was restored"
    assert all(
        s["step"] == 7 and s["exp_avg"].dtype is torch.bfloat16 and not s["exp_avg"].any() for s in states(target)
    )


def test_a_hook_that_adds_a_group() -> None:
    def add(optimizer: Any, state_dict: dict[str, Any]) -> None:
        extra = nn.Parameter(torch.ones(5, dtype=torch.float64))
        optimizer.add_param_group({"params": [("c", extra)]})
        extra.grad = torch.ones_like(extra)

    results = []
    for kind in (ours("RMSprop"), theirs("RMSprop")):
        source = trained(kind, ["a"])
        c = nn.Parameter(torch.ones(5, dtype=torch.float64))
        c.grad = torch.full_like(c, 3.0)
        source.add_param_group({"params": [("c", c)], "alpha": 0.5})
        source.step()
        target = trained(kind, ["a"])
        target.register_load_state_dict_pre_hook(add)
        target.load_state_dict(source.state_dict())
        target.step()
        results.append([states(target), [g["alpha"] for g in target.param_groups]])
    torch.testing.assert_close(*results, rtol=1e-12, atol=0)


def test_the_source_is_not_stepped_along() -> None:
    """Though a hook returns its very tensors."""
    source, target = (trained(ours("Adam"), ["a"]) for _ in range(2))
    target.register_load_state_dict_pre_hook(lambda _, state_dict: dict(state_dict))
    before = deepcopy(states(source))
    target.load_state_dict(source.state_dict())
    target.step()
    torch.testing.assert_close(states(source), before, rtol=0, atol=0)


def test_a_hook_that_fails_changes_nothing_and_the_next_load_works() -> None:
    source, target = (trained(ours("Adam"), ["a"]) for _ in range(2))
    source.step()
    before = deepcopy(states(target))

    def fail(optimizer: Any, state_dict: dict[str, Any]) -> None:
        raise LookupError("no")

    handle = target.register_load_state_dict_pre_hook(fail)
    with pytest.raises(LookupError):
        target.load_state_dict(source.state_dict())
    torch.testing.assert_close(states(target), before, rtol=0, atol=0)
    handle.remove()
    assert not target._optimizer_load_state_dict_pre_hooks
    target.load_state_dict(source.state_dict())
    torch.testing.assert_close(states(target), states(source), rtol=0, atol=0)
    copy = deepcopy(target)
    torch.testing.assert_close(states(copy), states(source), rtol=0, atol=0)


def test_a_state_dict_without_groups_is_refused_as_in_torch() -> None:
    for broken in ({}, {"state": {}}, {"param_groups": []}):
        outcomes = []
        for kind in (ours("Adam"), theirs("Adam")):
            with pytest.raises((KeyError, ValueError)) as caught:
                trained(kind, ["a"]).load_state_dict(broken)
            outcomes.append((type(caught.value), str(caught.value)))
        assert outcomes[0] == outcomes[1]
