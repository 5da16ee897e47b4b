"""Schedules on their way from one framework to another, on files that the real frameworks wrote."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ravine import convert
from ravine.cli.convert import convert as command
from ravine.convert import torch_schedules
from ravine.dialects import lines, schedule_calls

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("h5py", reason="h5py is not installed")
pytest.importorskip("msgpack", reason="msgpack is not installed")

from recorded_files import FILES, RECORDER, STEPS, parameters, same, trained, values

CHAIN = "tx = optax.chain(optax.clip_by_global_norm(1e9), optax.adamw(optax.cosine_decay_schedule(0.1, 20)))"
ORDER = list(RECORDER.SHAPES)
BARE = [n.removeprefix("net.") for n in RECORDER.MODEL]
SCHEDULED = {
    "cosine.keras": ("keras", list("0123"), RECORDER.SHAPES, None),
    "legacy-sgd.h5": ("keras_legacy", ORDER, RECORDER.SHAPES, None),
    "chain.msgpack": ("optax", [n.replace("/", "_") for n in ORDER], RECORDER.SHAPES, CHAIN),
    "lightning.ckpt": ("torch", list(RECORDER.MODEL), RECORDER.MODEL, None),
    "restarts.pt": ("torch", BARE, RECORDER.MODEL, None),
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_training_goes_on_in_torch_with_its_schedule(name: str) -> None:
    framework, names, shapes, call = SCHEDULED[name]
    params = parameters(name)
    pairs = list(zip(names, params, strict=True))
    step = RECORDER.BEFORE if name == "restarts.pt" else None  # torch's SGD counts none
    optimizer, scheduler = convert.resume_scheduled(FILES / name, pairs, framework, optimizer=call, step=step)
    same(trained(params, optimizer, scheduler, shapes), name)


@pytest.mark.parametrize("name", ["cosine.keras", "chain.msgpack"])
def test_resume_alone_does_not_let_the_rate_stand_still(name: str) -> None:
    framework, names, _, call = SCHEDULED[name]
    with pytest.raises(ValueError, match="take resume_scheduled"):
        convert.resume(FILES / name, zip(names, parameters(name), strict=True), framework, optimizer=call)


def test_a_scheduler_of_epochs_goes_on_with_the_steps_of_one() -> None:
    """Lightning steps a scheduler once an epoch unless told otherwise; here an epoch has three steps."""
    params, name = parameters("lightning-epochs.ckpt"), "lightning-epochs.ckpt"
    pairs = list(zip(RECORDER.MODEL, params, strict=True))
    optimizer, scheduler = convert.resume_scheduled(FILES / name, pairs, "torch", steps_per_epoch=3)
    same(trained(params, optimizer, scheduler, RECORDER.MODEL), name)
    for given, words in (
        (None, r"counted 1, not the 5 steps. .* \(steps_per_epoch\), 3 to 5\."),
        (2, "counted 1, and 5 steps are 2 epochs of 2."),
    ):
        (first, _) = convert.load_groups(FILES / name, "torch", steps_per_epoch=given)
        assert first.state.schedule is None
        assert re.search(words, " ".join(first.notes))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        convert.load_groups(FILES / name, "torch", steps_per_epoch=0)
    with pytest.raises(ValueError, match="steps_per_epoch is for a scheduler, and there is none in the file"):
        convert.load_groups(FILES / "fqn.pt", "torch", steps_per_epoch=3)
    with pytest.raises(ValueError, match="steps_per_epoch is for torch's files"):
        convert.load_groups(FILES / "adam.keras", "keras", steps_per_epoch=3)


TRAINER = {
    "trainer-linear": ("get_linear_schedule_with_warmup(optimizer, num_warmup_steps=3, num_training_steps=13)", None),
    "trainer-cosine": ("get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=0, num_training_steps=13)", 1.0),
}


@pytest.mark.parametrize("name", TRAINER)
def test_the_trainers_schedule_is_given(name: str) -> None:
    """torch saves nothing of transformers' functions. The Trainer clips all gradients together, to 1 unless told."""
    call, clip = TRAINER[name]
    params = parameters(name)
    pairs = list(zip(BARE, params, strict=True))
    optimizer, scheduler = convert.resume_scheduled(FILES / name, pairs, "torch", schedule=call)
    for group in optimizer.param_groups:
        group |= {} if clip is None else {"clip_global_norm": clip}
    same(trained(params, optimizer, scheduler, RECORDER.MODEL), name)


def test_names_in_a_schedule_are_given_beside(tmp_path: Path) -> None:
    line = "scheduler = get_linear_schedule_with_warmup(optimizer, args.warmup, total)"
    where = [str(FILES / "trainer-linear"), "--from", "torch", "--to", "optax", "--out", str(tmp_path / "s.npz")]
    done = CliRunner().invoke(command, [*where, "--schedule", line, "--let", "args.warmup=3", "--let", "total=13"])
    assert done.exit_code == 0, done.output
    assert "get_linear_schedule_with_warmup(optimizer, 3.0, 13.0)" in " ".join(done.output.split())


def test_what_the_trainers_schedule_may_be_is_said() -> None:
    found = convert.load_groups(FILES / "trainer-linear", "torch")[0]
    words = " ".join(found.notes)
    assert (
        "does not say what it computes (a LambdaLR: torch saves nothing of its function): give it (schedule)" in words
    )
    advised = re.search(r"as in '(.*?)', the Trainer's unless", words)
    assert advised is not None
    assert advised[1] == "get_linear_schedule_with_warmup(optimizer, 0, 13)"
    with pytest.raises(
        ValueError, match=r"after 5 steps the scheduler in the file has the rate 0\.024, and .* gives 0.018"
    ):
        convert.load_groups(FILES / "trainer-linear", "torch", schedule=advised[1])  # there were three of warm-up


def test_it_goes_on_in_optax_from_a_file_of_keras() -> None:
    """Keras's Adam and its schedule, by recipe.optax(lr=schedule) with the converted state."""
    pytest.importorskip("optax", reason="optax is not installed")
    import jax.numpy as jnp
    import optax

    state = convert.load(FILES / "cosine.keras", "keras")
    assert state.schedule is not None
    tx = state.recipe.optax(lr=state.schedule)
    x = dict(zip("0123", map(jnp.asarray, values("cosine.keras", "saved")), strict=True))
    there = tx.init(x)._replace(
        count=jnp.asarray(state.t, jnp.int32),
        slots={s: {p: jnp.asarray(own[s]) for p, own in state.slots.items()} for s in ("m", "v")},
    )
    for t in STEPS:
        grads = dict(zip("0123", map(jnp.asarray, RECORDER.gradients(t)), strict=True))
        updates, there = tx.update(grads, there, x)
        x = optax.apply_updates(x, updates)
    same([np.asarray(x[n]) for n in "0123"], "cosine.keras")


def test_the_command_says_and_keeps_the_schedule(tmp_path: Path) -> None:
    out = tmp_path / "state.npz"
    source = [str(FILES / "cosine.keras"), "--from", "keras", "--to", "ravine", "--out", str(out)]
    done = CliRunner().invoke(command, source)
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert (
        "with the learning rate keras.CosineDecay(initial_learning_rate=0.001, decay_steps=10, alpha=0.1, warm" in words
    )
    assert "0.001 to 0.05 along a line over 3 steps; from step 3 on 0.05 to 0.005 along a cosine over 10 steps" in words
    kept, first = convert.load(out, "ravine"), convert.load(FILES / "cosine.keras", "keras")
    assert kept.schedule == first.schedule
    params = parameters("cosine.keras")
    optimizer, scheduler = convert.resume_scheduled(out, zip("0123", params, strict=True), "ravine")
    same(trained(params, optimizer, scheduler), "cosine.keras")


def test_the_command_spells_it_for_the_target(tmp_path: Path) -> None:
    where = ["--from", "optax", "--optimizer", CHAIN, "--out", str(tmp_path / "s.npz")]
    done = CliRunner().invoke(command, [str(FILES / "chain.msgpack"), *where, "--to", "torch"])
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "CosineAnnealingLR(optimizer, T_max=20, eta_min=0.0), torch.optim.lr_scheduler.ConstantLR" in words
    assert (
        "(clip_global_norm 1e+09): in torch that is torch.nn.utils.clip_grad_norm_(parameters, 1000000000.0)" in words
    )


TOLD_AS = {
    ("lightning.ckpt", "optax"): "In optax that is optax.cosine_decay_schedule(init_value=0.05, decay_steps=20, "
    "alpha=0.02), until it would rise again.",
    ("legacy-sgd.h5", "torch"): "ExponentialLR(optimizer, gamma=0.8408964152537145) with lr=0.1.",
    ("cosine.keras", "torch"): "In torch that is torch.optim.lr_scheduler.SequentialLR(",
    ("cosine.keras", "ravine"): "resume_scheduled goes on with it.",
    ("restarts.pt", "keras"): "warmup_target=0.1, warmup_steps=2), until it would rise again.",
}


@pytest.mark.parametrize(("name", "target"), TOLD_AS)
def test_it_is_told_how_the_schedule_goes_on(name: str, target: str) -> None:
    framework, _, _, call = SCHEDULED[name]
    state = convert.load_groups(FILES / name, framework, call, 5)[0].state
    assert TOLD_AS[name, target] in " ".join(convert.move(state, target).notes)


def test_a_torch_scheduler_is_given_where_the_file_does_not_tell_it() -> None:
    line = "scheduler = CosineAnnealingLR(optimizer, T_max=100)"
    pairs = list(zip([n.removeprefix("net.") for n in RECORDER.MODEL], parameters("fqn.pt"), strict=True))
    optimizer, scheduler = convert.resume_scheduled(FILES / "fqn.pt", pairs, "torch", schedule=line)
    optimizer.step()  # without a gradient; torch wants one first
    scheduler.step()
    rate = 0.01 * (1 + np.cos(np.pi * 6 / 100)) / 2
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([rate, rate], rel=1e-12)
    with pytest.raises(ValueError, match="tells no schedule"):
        convert.resume_scheduled(FILES / "fqn.pt", pairs, "torch")
    with pytest.raises(ValueError, match="schedule is for torch's files"):
        convert.load_groups(FILES / "adam.keras", "keras", schedule=line)


SCHEDULERS = torch.optim.lr_scheduler
TOLD = {
    "StepLR(optimizer, step_size=7, gamma=0.5)": lambda o: SCHEDULERS.StepLR(o, 7, 0.5),
    "MultiStepLR(optimizer, milestones=[5, 5, 12], gamma=0.1)": lambda o: SCHEDULERS.MultiStepLR(o, [5, 12, 5]),
    "ExponentialLR(optimizer, gamma=0.9)": lambda o: SCHEDULERS.ExponentialLR(o, 0.9),
    "LinearLR(optimizer, start_factor=0.5, end_factor=1.0, total_iters=5)": lambda o: SCHEDULERS.LinearLR(o, 0.5),
    "ConstantLR(optimizer, factor=0.5, total_iters=5)": lambda o: SCHEDULERS.ConstantLR(o, 0.5),
    "PolynomialLR(optimizer, total_iters=9, power=2.0)": lambda o: SCHEDULERS.PolynomialLR(o, 9, 2.0),
    "CosineAnnealingLR(optimizer, T_max=9, eta_min=0.01)": lambda o: SCHEDULERS.CosineAnnealingLR(o, 9, 0.01),
    "CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2, eta_min=0.01)": lambda o: (
        SCHEDULERS.CosineAnnealingWarmRestarts(o, 2, 2, 0.01)
    ),
    "SequentialLR(optimizer, [torch.LinearLR(optimizer, start_factor=0.5, end_factor=1.0, total_iters=3), "
    "torch.StepLR(optimizer, step_size=4, gamma=0.5)], milestones=[3])": lambda o: SCHEDULERS.SequentialLR(
        o, [SCHEDULERS.LinearLR(o, 0.5, total_iters=3), SCHEDULERS.StepLR(o, 4, 0.5)], [3]
    ),
    "OneCycleLR(optimizer, max_lr=0.2, total_steps=16, pct_start=0.25, anneal_strategy='linear', cycle_momentum=False, "
    "div_factor=10.0, final_div_factor=100.0, three_phase=True)": lambda o: SCHEDULERS.OneCycleLR(
        o, 0.2, 16, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False, div_factor=10.0,
        final_div_factor=100.0, three_phase=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", TOLD)
def test_a_scheduler_is_told_by_its_state(call: str, tmp_path: Path) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = TOLD[call](optimizer)
    torch.save(scheduler.state_dict(), tmp_path / "s.pt")
    state = torch.load(tmp_path / "s.pt", weights_only=True)
    assert torch_schedules.call(state, optimizer.param_groups[0]) == f"torch.{call}"
    assert list(torch_schedules.schedulers({"a": [state]}, None)) == [state]
    schedule = lines.read_schedule(call, {}, 0.1)
    for k in range(15):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(schedule(k), rel=1e-12)
        optimizer.step()
        scheduler.step()


NO_SCHEDULE = {
    "ReduceLROnPlateau, which follows the losses": lambda o: SCHEDULERS.ReduceLROnPlateau(o),
    "CyclicLR": lambda o: SCHEDULERS.CyclicLR(o, 0.01, 0.1, cycle_momentum=False),
    "ChainedScheduler": lambda o: SCHEDULERS.ChainedScheduler(
        [SCHEDULERS.LinearLR(o), SCHEDULERS.ExponentialLR(o, 0.9)]
    ),
}


def test_training_goes_on_exactly_only_while_the_rate_is_that() -> None:
    state = convert.load_groups(FILES / "trainer-linear", "torch")[0].state
    for target in ("torch", "optax", "ravine"):
        outcome = convert.move(state, target)
        assert outcome.grade == "exact while lr is constant"
        assert outcome.reasons == ("the scheduler did not come along",)
        assert "Left behind: the scheduler." in outcome.notes


@pytest.mark.parametrize("name", NO_SCHEDULE)
def test_a_scheduler_that_is_no_schedule_is_named(name: str, tmp_path: Path) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = NO_SCHEDULE[name](optimizer)
    torch.save({"opt": optimizer.state_dict(), "schedule": scheduler.state_dict()}, tmp_path / "last.pt")
    (found,) = convert.load_groups(tmp_path / "last.pt", "torch", "torch.SGD(lr=0.1)", step=0)
    assert f"The scheduler in the file is {name}: it is no schedule here." in found.notes


def test_one_cycle_with_momentum_is_refused_for_what_it_changes(tmp_path: Path) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = SCHEDULERS.OneCycleLR(optimizer, 0.2, 16)
    torch.save({"opt": optimizer.state_dict(), "schedule": scheduler.state_dict()}, tmp_path / "last.pt")
    (found,) = convert.load_groups(tmp_path / "last.pt", "torch", "torch.SGD(lr=0.1)", step=0)
    assert "changes the momentum too" in " ".join(found.notes)


def test_a_schedule_of_epochs_in_another_spelling() -> None:
    """What stands still within an epoch is counted in steps; anything else is stepped once an epoch in torch."""
    step = torch_schedules.of_group("StepLR(optimizer, 3, 0.5)", {"lr": 0.1}, 10)
    assert (
        schedule_calls.spelled(step, "torch") == "torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.5)"
    )
    assert str(step) == "0.1, times 0.5 every 3 epochs, in epochs of 10 steps"
    cosine = torch_schedules.of_group("CosineAnnealingLR(optimizer, T_max=5)", {"lr": 0.1}, 10)
    assert schedule_calls.spelled(cosine, "optax") is None
    plain = lines.read_schedule("CosineAnnealingLR(optimizer, 5)", {}, 0.1)
    assert [cosine(k) for k in (0, 9, 10, 49)] == [plain(k) for k in (0, 0, 1, 4)]
    assert type(cosine).from_data(cosine.to_data()) == cosine
    state = replace(convert.load_groups(FILES / "lightning.ckpt", "torch")[0].state, schedule=cosine)
    told = "CosineAnnealingLR(optimizer, T_max=5, eta_min=0.0) with lr=0.1, stepped once in 10 steps."
    assert told in " ".join(convert.move(state, "torch").notes)


def test_an_optimizer_that_counts_no_steps_leaves_it_open_what_a_scheduler_counts() -> None:
    (found,) = convert.load_groups(FILES / "restarts.pt", "torch")
    assert found.state.schedule is None
    assert "counts no steps. Say how many are done (step), which is 5 unless" in " ".join(found.notes)
    pairs = list(zip(BARE, parameters("restarts.pt"), strict=True))
    with pytest.raises(ValueError, match="the optimizer counts no steps"):
        convert.resume_scheduled(FILES / "restarts.pt", pairs, "torch")


def test_a_scheduler_that_tells_nothing_is_said(tmp_path: Path) -> None:
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([param])
    scheduler = SCHEDULERS.LambdaLR(optimizer, lambda k: 1 / (k + 1))
    for many, words in ((1, "does not say what it computes"), (3, "has counted 1, not the 3 steps")):
        while not optimizer.state or optimizer.state[param]["step"] < many:
            param.grad = torch.ones(2)
            optimizer.step()
        if many == 1:
            scheduler.step()
        torch.save({"opt": optimizer.state_dict(), "schedule": scheduler.state_dict()}, tmp_path / "last.pt")
        (found,) = convert.load_groups(tmp_path / "last.pt", "torch")
        assert found.state.schedule is None
        assert words in " ".join(found.notes)


def test_momentum_across_lr_is_not_exact_under_a_schedule() -> None:
    state = convert.load(FILES / "legacy-sgd.h5", "keras_legacy")
    outcome = convert.move(state, "torch")
    assert outcome.grade == "not possible"
    assert "lr follows a schedule" in outcome.reasons[-1]
