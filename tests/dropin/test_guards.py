"""What torch's classes lack: a way to survive a NaN, and bfloat16 parameters that don't stall."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from steplock import NAMES, ours, snapshot, theirs

import ravine.torch
from ravine.torch.rounding import places, stochastic
from watched_steps import Watched

ALL = (*NAMES, "Lion")


def parameter(dtype: Any = torch.float32) -> Any:
    return torch.nn.Parameter(torch.linspace(1, 2, 12, dtype=torch.float64).reshape(3, 4).to(dtype))


def step(optimizer: Any, p: Any, *, bad: float | None = None) -> None:
    p.grad = torch.full_like(p, 0.5)
    if bad is not None:
        p.grad.view(-1)[0] = bad
    optimizer.step()


@pytest.mark.parametrize("name", ALL)
def test_a_bad_step_is_skipped_and_counted(name: str) -> None:
    p, q = parameter(), parameter()
    guarded, plain = ours(name)([p], on_nonfinite="skip"), ours(name)([q])
    for bad in (None, torch.nan, None, torch.inf, -torch.inf, None):
        before = snapshot(guarded, [p])
        step(guarded, p, bad=bad)
        if bad is None:
            step(plain, q)
        else:
            after = snapshot(guarded, [p])
            assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert torch.equal(p, q)
    assert guarded.skipped_steps == 3


@pytest.mark.parametrize("name", ALL)
def test_a_bad_step_is_an_error_that_changes_nothing(name: str) -> None:
    p, other = parameter(), parameter()
    named = [("first.weight", other), ("layer.weight", p)]
    optimizer = ours(name)(named, on_nonfinite="error")
    other.grad = torch.ones_like(other)
    step(optimizer, p)
    before = snapshot(optimizer, [other, p])
    with pytest.raises(FloatingPointError, match=r"'layer\.weight', parameter 1 of group 0, of shape \(3, 4\)"):
        step(optimizer, p, bad=torch.nan)
    after = snapshot(optimizer, [other, p])
    assert all(torch.equal(v, after[k]) for k, v in before.items())


@pytest.mark.parametrize("name", NAMES)
def test_by_default_a_nan_goes_where_torch_lets_it_go(name: str) -> None:
    p, q = parameter(), parameter()
    a, b = ours(name)([p]), theirs(name)([q])
    for bad in (None, torch.nan, None):
        step(a, p, bad=bad)
        step(b, q, bad=bad)
    assert torch.equal(p.isnan(), q.isnan())
    assert p.isnan().sum() == (name != "Rprop")  # which reads signs alone, and NaN has none
    assert a.state_dict()["param_groups"] == b.state_dict()["param_groups"]


def test_a_guard_is_a_groups_own_and_one_bad_group_holds_up_the_whole_step() -> None:
    p, q = parameter(), parameter()
    optimizer = ours("SGD")([{"params": [p], "on_nonfinite": "skip"}, {"params": [q]}], lr=0.5)
    assert "on_nonfinite" not in optimizer.param_groups[1]
    p.grad, q.grad = torch.full_like(p, torch.nan), torch.ones_like(q)
    optimizer.step()
    assert torch.equal(q, parameter())
    p.grad, q.grad = torch.ones_like(p), torch.full_like(q, torch.nan)
    optimizer.step()
    assert q.isnan().all()
    assert optimizer.skipped_steps == 1
    optimizer.add_param_group({"params": [parameter()], "on_nonfinite": "error"})
    optimizer.param_groups[2]["params"][0].grad = torch.full((3, 4), torch.inf)
    with pytest.raises(FloatingPointError, match="parameter 0 of group 2"):
        optimizer.step()


def test_guards_are_options_of_a_group_that_may_change_at_any_time() -> None:
    p = torch.nn.Parameter(torch.ones(500, dtype=torch.bfloat16))
    optimizer = ours("SGD")([p], lr=0.001)
    group = optimizer.param_groups[0]
    step(optimizer, p)
    assert torch.equal(p, torch.ones_like(p))
    group["rounding"] = "stochastic"
    step(optimizer, p)
    assert 0 < (p != 1).sum() < 500
    assert (group["rounding_seed"], group["rounding_steps"]) == (0, 1)
    group["rounding"] = "nearest"
    before = p.detach().clone()
    step(optimizer, p)
    assert torch.equal(p, before)
    group["on_nonfinite"] = "skip"
    step(optimizer, p, bad=torch.nan)
    assert torch.equal(p, before)
    assert optimizer.skipped_steps == 1
    group["on_nonfinite"] = "propagate"
    step(optimizer, p, bad=torch.nan)
    assert p.isnan().sum() == 1
    for key in ("on_nonfinite", "rounding"):
        with pytest.raises(ValueError, match=f"unknown {key} 'often'"):
            step(ours("SGD")([{"params": [p], key: "often"}]), p)
        group[key] = "often"
        with pytest.raises(ValueError, match=f"unknown {key} 'often'"):
            step(optimizer, p)
        del group[key]


def test_sparse_complex_and_huge_gradients_are_judged_rightly() -> None:
    p = torch.nn.Parameter(torch.ones(3, 2, dtype=torch.complex64))
    optimizer = ours("SGD")([p], on_nonfinite="skip")
    p.grad = torch.full_like(p, complex(3e38, 3e38))  # its magnitude is beyond float32, it is not
    optimizer.step()
    assert optimizer.skipped_steps == 0
    p.grad = torch.full_like(p, complex(0.0, torch.nan))
    optimizer.step()
    assert optimizer.skipped_steps == 1
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = ours("SGD")(table.parameters(), on_nonfinite="skip")
    (table(torch.tensor([1, 1])).sum() * torch.inf).backward()
    optimizer.step()
    assert optimizer.skipped_steps == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_sum_that_overflows_is_no_reason_to_skip(dtype: Any) -> None:
    p = torch.nn.Parameter(torch.zeros(100, dtype=dtype))
    optimizer = ours("SGD")([p], on_nonfinite="skip", lr=0.0)
    for sign in (1, torch.tensor([1.0, -1.0] * 50)):
        p.grad = (torch.full_like(p, torch.finfo(dtype).max) * sign).to(dtype)
        optimizer.step()
    assert optimizer.skipped_steps == 0
    p.grad[:2] = torch.tensor([torch.inf, -torch.inf])
    optimizer.step()
    assert optimizer.skipped_steps == 1


def test_counts_and_guards_survive_a_checkpoint_even_one_of_torch() -> None:
    p, q = parameter(), parameter()
    optimizer = ours("Adam")([p], on_nonfinite="skip")
    step(optimizer, p)
    step(optimizer, p, bad=torch.nan)
    other = ours("Adam")([q], on_nonfinite="skip")
    other.load_state_dict(optimizer.state_dict())
    assert other.skipped_steps == 1
    reference = theirs("Adam")([q])
    step(reference, q)
    other.load_state_dict(reference.state_dict())
    step(other, q, bad=torch.nan)
    assert other.skipped_steps == 2
    reference.load_state_dict(optimizer.state_dict())
    step(reference, q)


def mean_travel(name: str, steps: int, **options: Any) -> float:
    p = torch.nn.Parameter(torch.ones(64, 64, dtype=options.pop("dtype")))
    optimizer = ours(name)([p], lr=1e-4, **options)
    for _ in range(steps):
        p.grad = torch.ones_like(p)
        optimizer.step()
    return p.detach().double().mean().item() - 1


@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion"])
def test_stochastic_rounding_goes_the_right_way_on_average(name: str) -> None:
    """4096 parameters, 100 steps of 10⁻⁴: the mean's standard deviation is 0.6 % of the way."""
    expected = mean_travel(name, 100, dtype=torch.float32)
    assert mean_travel(name, 100, dtype=torch.bfloat16) == 0
    got = mean_travel(name, 100, dtype=torch.bfloat16, rounding="stochastic")
    assert abs(got / expected - 1) < 0.04


def test_every_value_is_rounded_to_a_neighbour_and_exact_ones_stay() -> None:
    x = torch.cat([torch.randn(2000), torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 3.39e38, 1e-40])])
    x = torch.cat([x, torch.tensor([0x7FFFFFFF, -1], dtype=torch.int32).view(torch.float32)])  # NaN of all ones
    rounded = stochastic(x, places(x), 7)
    near = x.to(torch.bfloat16)
    assert torch.equal(rounded.isnan(), x.isnan())
    finite = x.isfinite() & rounded.isfinite()
    gap = (rounded.double() - x.double()).abs()[finite]
    assert torch.all(gap < 2.0**-7 * x.double().abs()[finite] + 2.0**-133)
    assert 0 < (rounded != near)[finite].sum() < 2000
    exact = near.float()
    assert torch.equal(stochastic(exact, places(exact), 7)[finite], near[finite])


def test_the_random_bits_are_spread_evenly() -> None:
    """Half-way numbers go up half of the time, at every place and with every seed."""
    halfway = torch.full((1 << 14,), 1 + 2.0**-8)
    ups = torch.stack([stochastic(halfway, places(halfway), seed) > 1 for seed in range(64)]).double()
    assert abs(ups.mean() - 0.5) < 0.003  # 6 standard deviations of 2^20 throws
    assert (ups.mean(0) - 0.5).abs().max() < 0.36
    assert (ups.mean(1) - 0.5).abs().max() < 0.025
    assert (torch.corrcoef(ups[:8]) - torch.eye(8)).abs().max() < 0.05


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_the_kernel_and_the_eager_engine_round_alike(name: str, kind: Any) -> None:
    """A step that a mode watches goes to the eager engine, another to the kernel: the same bits, over many chunks."""
    if kind is torch.float32 and not hasattr(torch.Tensor, "grad_dtype"):
        pytest.skip("this torch holds gradients to their parameter's type")
    random = torch.Generator().manual_seed(0)
    values = torch.randn(90_001, generator=random)
    values[:4] = torch.tensor([torch.inf, -torch.inf, torch.nan, 3.38e38])
    dense = torch.nn.Parameter(values.bfloat16())
    watched = torch.nn.Parameter(dense.detach().clone())
    dense.grad_dtype = watched.grad_dtype = kind
    pair = [ours(name)([p, parameter()], lr=0.003, rounding="stochastic") for p in (dense, watched)]
    for _ in range(3):
        g = torch.randn(values.shape, generator=random).to(kind)
        dense.grad, watched.grad = g, g.clone()
        pair[0].step()
        with Watched():
            pair[1].step()
    assert [bool(o._plans[0].rest) for o in pair] == [False, True]
    assert torch.equal(dense.isnan(), watched.isnan())
    assert torch.equal(dense.nan_to_num(), watched.nan_to_num())


def test_the_bits_are_the_seeds_and_survive_a_checkpoint() -> None:
    def run(seed: int, interrupted: bool = False) -> Any:
        p = parameter(torch.bfloat16)
        optimizer = ours("RMSprop")([p], rounding="stochastic", rounding_seed=seed)
        for number in range(6):
            if interrupted and number == 3:
                saved = optimizer.state_dict()
                optimizer = ours("RMSprop")([p], rounding="stochastic")
                optimizer.load_state_dict(saved)
            step(optimizer, p)
        return p.detach()

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(run(1), run(1, interrupted=True))


def test_a_loaded_rounding_holds_at_once_where_there_is_no_state_to_load() -> None:
    p, q = (torch.nn.Parameter(torch.ones(64, 64, dtype=torch.bfloat16)) for _ in range(2))
    plain, rounded = ours("SGD")([p], lr=1e-3), ours("SGD")([q], lr=1e-3, rounding="stochastic")
    p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
    plain.step()
    assert torch.all(p == 1)
    plain.load_state_dict(rounded.state_dict())
    plain.step()
    rounded.step()
    assert torch.equal(p, q)
    assert not torch.all(p == 1)


def test_stochastic_rounding_leaves_other_types_alone() -> None:
    p, q = parameter(), parameter()
    rounded, plain = ours("Adam")([p], rounding="stochastic"), ours("Adam")([q])
    for _ in range(3):
        step(rounded, p)
        step(plain, q)
    assert torch.equal(p, q)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"on_nonfinite": "ignore"}, ValueError, "unknown on_nonfinite 'ignore'.*error, propagate, skip"),
        ({"rounding": "stocastic"}, ValueError, "did you mean 'stochastic'"),
        ({"rounding": "stochastic", "rounding_seed": 0.5}, TypeError, "rounding_seed must be an integer, got 0.5"),
    ],
)
def test_an_illegal_guard_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ours("Adam")([parameter()], **options)
    optimizer = ours("Adam")([parameter()])
    with pytest.raises(error, match=message):
        optimizer.add_param_group({"params": [parameter()], **options})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_torchs_with_the_guards_behind(name: str) -> None:
    mine, torchs = (inspect.signature(kind).parameters for kind in (ours(name), theirs(name)))
    assert list(mine) == [
        *torchs,
        "on_nonfinite",
        "rounding",
        "rounding_seed",
        "state",
        "state_rounding",
        "products",
        "clip_global_norm",
    ]
    for key, parameter in torchs.items():
        assert mine[key].default == parameter.default
        assert mine[key].kind == parameter.kind


def test_a_subclass_of_the_user_keeps_its_own_signature() -> None:
    class Mine(ravine.torch.Adam):
        def __init__(self, params: Any, speed: float = 0.1, **rest: Any) -> None:
            super().__init__(params, lr=speed, **rest)

    class Plain(ravine.torch.Adam):
        pass

    assert list(inspect.signature(Mine).parameters)[:2] == ["params", "speed"]
    assert inspect.signature(Plain) == inspect.signature(ravine.torch.Adam)
    p = parameter()
    step(Mine([p], on_nonfinite="skip"), p)


def test_any_rule_takes_decay_direction_types_and_guards() -> None:
    p, q = parameter(torch.float64), parameter(torch.float64)
    options = {"weight_decay": 0.1, "maximize": True}
    a = ravine.torch.from_recipe([p], "adam", lr=0.1, on_nonfinite="skip", **options)
    b = theirs("Adam")([q], lr=0.1, **options)
    for _ in range(3):
        step(a, p)
        step(b, q)
    torch.testing.assert_close(p, q, rtol=1e-14, atol=0)
    step(a, p, bad=torch.nan)
    assert a.skipped_steps == 1
    assert a.recipe.rule.name == "maximize(weight_decay(adam))"
    adamw = ravine.torch.from_recipe([parameter()], "adamw", weight_decay=0.5)
    assert adamw.param_groups[0]["weight_decay"] == 0.5
    assert adamw.recipe.rule.name == "adamw"
