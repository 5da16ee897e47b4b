"""Schedules of the learning rate: the frameworks' own values, live in torch and JAX, and in another spelling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ravine import dialects
from ravine.dialects import lines, schedule_calls, schedules
from ravine.schedules import Piece, Schedule, joined

RECORDED = json.loads((Path(__file__).parents[1] / "recorded" / "schedules.json").read_text())
VALUES = RECORDED["values"]
LR = RECORDED["lr"]


def read(call: str) -> Schedule:
    return lines.read_schedule(call, {}, LR)


@pytest.mark.parametrize("call", VALUES)
def test_the_frameworks_own_values(call: str) -> None:
    """Keras and optax compute theirs in float32, where 1 + cos x near x = π loses digits of its own; k/5 − ⌊k/5⌋ loses
    some of k/5."""
    own = VALUES[call]
    schedule = read(call)
    loss = 4e-7 if "DecayRestarts" in call else 2e-8
    np.testing.assert_allclose([schedule(k) for k in range(len(own))], own, rtol=2e-6, atol=loss * max(own))
    # NumPy's powers and cosines of many numbers may be another library's than those of one.
    np.testing.assert_array_max_ulp(schedule(np.arange(len(own))), np.array([schedule(k) for k in range(len(own))]), 2)


def test_every_schedule_is_in_evidence() -> None:
    assert {name for name in schedules.KNOWN if not any(name in call for call in VALUES)} == set()


@pytest.mark.parametrize("call", VALUES)
def test_what_is_read_is_read_again(call: str) -> None:
    schedule = read(call)
    again = read(repr(schedule))
    assert again == schedule
    assert repr(again) == repr(schedule)
    assert Schedule.from_data(json.loads(json.dumps(schedule.to_data()))) == schedule


SPELLED = [(c, f) for c in VALUES for f in ("keras", "optax", "torch")]


@pytest.mark.parametrize(("call", "framework"), SPELLED)
def test_a_schedule_in_another_spelling_is_the_same(call: str, framework: str) -> None:
    """Where there is a spelling, it gives the same values."""
    schedule = read(call)
    text = schedule_calls.spelled(schedule, framework)
    if text is None:
        return
    there: Any = lambda _: float(text)  # Keras writes a constant as a number  # noqa: E731
    if "(" in text:
        there = lines.read_schedule(text, {}, schedule_calls.base(schedule))
    for k in range(60):
        np.testing.assert_allclose(there(k), schedule(k), rtol=1e-9, atol=1e-12 * LR)


def test_how_many_have_a_spelling() -> None:
    """So that a spelling that is lost is seen."""
    counts = {
        f: sum(schedule_calls.spelled(read(c), f) is not None for c in VALUES) for f in ("keras", "optax", "torch")
    }
    assert counts == {"keras": 32, "optax": 45, "torch": 32}


@pytest.mark.parametrize("call", list(VALUES)[::3])
def test_torch_goes_on_with_it(call: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for first in (0, 6):
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]}, {"params": [torch.nn.Parameter(torch.zeros(1))]}]
        optimizer = torch.optim.SGD(groups, lr=9.0)
        scheduler = read(call).torch(optimizer, first)
        for k in range(first, 20):
            assert [g["lr"] for g in optimizer.param_groups] == [read(call)(k)] * 2
            optimizer.step()
            scheduler.step()
        assert scheduler.state_dict()["lr_lambdas"] == [None, None]  # nothing but plain values in a checkpoint


@pytest.mark.parametrize("call", list(VALUES)[::3])
def test_jax_traces_it(call: str) -> None:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    import jax.numpy as jnp

    schedule = read(call)
    values = jax.jit(jax.vmap(schedule))(jnp.arange(30, dtype=jnp.int32))
    np.testing.assert_allclose(values, [schedule(k) for k in range(30)], rtol=1e-12)


def test_a_recipe_takes_it_in_optax() -> None:
    """recipe.optax(lr=schedule) is the line that had the schedule in it."""
    optax = pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp

    line = "optax.adam(optax.cosine_decay_schedule(0.1, 10))"
    constructor, given = dialects.parse(line)
    schedule = given["learning_rate"]
    ours = constructor(learning_rate=0.1).optax(lr=schedule)
    theirs = optax.adam(optax.cosine_decay_schedule(0.1, 10))
    x = y = jnp.ones(3)
    a, b = ours.init(x), theirs.init(y)
    for t in range(12):
        g = jnp.asarray(np.random.default_rng(t).normal(size=3), jnp.float32)
        (u, a), (v, b) = ours.update(g, a, x), theirs.update(g, b, y)
        x, y = optax.apply_updates(x, u), optax.apply_updates(y, v)
    np.testing.assert_allclose(x, y, rtol=2e-5)  # optax's 1 − βᵗ is float32


REFUSED = {
    "LambdaLR(optimizer, lambda k: 0.1)": "unknown schedule 'LambdaLR'",
    "ReduceLROnPlateau(optimizer)": "unknown schedule 'ReduceLROnPlateau'",
    "CosineDecay(0.1)": r"CosineDecay: .*decay_steps",
    "CosineDecay(0.1, 10, aplha=0.1)": "unknown argument of CosineDecay 'aplha'; did you mean 'alpha'",
    "CosineDecay(0.1, 0)": "length must be positive",
    "OneCycleLR(optimizer, 0.1, 100)": "changes the momentum too",
    "PolynomialDecay(0.1, 10, cycle=True)": "cycle=True is not supported",
    "join_schedules([constant_schedule(1)], [5])": "need 0 growing boundaries",
    "CosineDecay(args.lr, 100)": "args.lr",
    "os.system(1)": "unknown schedule 'system'",
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_no_schedule_is_said(call: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[call]):
        read(call)


def test_torchs_need_the_optimizers_rate() -> None:
    with pytest.raises(ValueError, match="multiplies the optimizer's learning rate"):
        lines.read_schedule("StepLR(optimizer, 5)", {})


def test_wrong_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        Piece("linear", 0.1)
    for data in ([{"kind": "linear"}], 3, [{"kind": "constant", "start": 1, "what": 2}]):
        with pytest.raises(ValueError, match="no schedule"):
            Schedule.from_data(data)
    one = Schedule((Piece("constant", 1.0),))
    with pytest.raises(ValueError, match="growing boundaries"):
        joined([one, one, one], [5, 3])


WORDS = {
    "keras.optimizers.schedules.CosineDecay(0.1, 20)": "0.1 to 0 along a cosine over 20 steps",
    "optax.linear_schedule(0.1, 0.01, 12)": "0.1 to 0.01 along a line over 12 steps",
    "StepLR(optimizer, 7, gamma=0.5)": "0.05, times 0.5 every 7 steps",
    "optax.piecewise_constant_schedule(0.1, {5: 0.5, 12: 0.1})": "0.1; from step 5 on 0.05; from step 12 on 0.005",
}


@pytest.mark.parametrize("call", WORDS)
def test_a_schedule_in_words(call: str) -> None:
    assert str(read(call)) == WORDS[call]
