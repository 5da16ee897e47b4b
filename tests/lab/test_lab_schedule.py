"""The learning rate in programs as users write them: theirs where they set it, the comparison's where they ask."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from torch.optim.lr_scheduler import LambdaLR

from ravine.lab.records import FAILED, FINISHED, Settings
from ravine.lab.runner import run
from ravine.lab.task import FunctionTask

STEPS = 8


def rates_of(train, steps=STEPS, schedule="linear"):
    """The record of a training loop, and the rates its optimizers had in their steps, as factors of the tuned one."""
    seen = []

    def watched(make_optimizer, seed, report):
        def make(params):
            optimizer = inner(params)
            own = []
            seen.append(own)
            # What a step uses is in the groups that the optimizer has then.
            optimizer.register_step_pre_hook(lambda o, *_: own.append([g["lr"] / 0.1 for g in o.param_groups]))
            return optimizer

        inner, make_optimizer._make = make_optimizer._make, make
        train(make_optimizer, report)

    settings = Settings("t", "adam", "adam", {"lr": 0.1}, 0, steps, "final", 0, schedule=schedule)
    task = FunctionTask(watched, "t")
    record = run(lambda: task, settings)
    if record.status == FAILED:
        print(record.message)
    return record, seen


def parameter():
    return torch.nn.Parameter(torch.ones(2))


def descend(*optimizers):
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.ones_like(p)
        optimizer.step()


def linear(steps):
    return [1 - k / steps for k in range(steps)]


def firsts(rates):
    return [r[0] for r in rates]


def test_a_lambda_of_the_users_own_is_what_counts():
    def train(make_optimizer, report):
        optimizer = make_optimizer([parameter()])
        make_optimizer.own_schedule("halved at every step")
        own = LambdaLR(optimizer, lambda k: 0.5**k)
        for k in range(STEPS):
            report(k, 1.0 - k / 100)
            descend(optimizer)
            own.step()

    record, (rates,) = rates_of(train)
    assert firsts(rates) == pytest.approx([0.5**k for k in range(STEPS)])
    assert record.schedule == "the task's own: halved at every step"
    assert record.rates == pytest.approx([0.1 * 0.5**k for k in range(STEPS)])


def test_a_loop_of_two_thousand_steps_does_not_stand_still_from_step_500():
    def train(make_optimizer, report, steps=None):
        optimizer = make_optimizer([parameter()])
        scheduler = make_optimizer.scheduler(optimizer, steps=steps)
        for _ in range(2000):
            descend(optimizer)
            scheduler.step()
        report(2000, 1.0)

    record, (rates,) = rates_of(lambda m, r: train(m, r, 2000), steps=500)
    assert firsts(rates) == pytest.approx(linear(2000))
    assert (record.status, record.schedule) == (FINISHED, "")
    record, _ = rates_of(train, steps=500)
    assert record.status == FAILED
    assert "made for 500 steps and is stepped once more: give the number of steps" in record.message


def test_five_critic_steps_to_one_of_the_generator():
    def train(make_optimizer, report):
        critic, generator = make_optimizer([parameter()]), make_optimizer([parameter()])
        falls = [make_optimizer.scheduler(critic, steps=5 * STEPS), make_optimizer.scheduler(generator)]
        for _ in range(STEPS):
            for _ in range(5):
                descend(critic)
                falls[0].step()
            descend(generator)
            falls[1].step()
        report(STEPS, 1.0)

    record, (critic, generator) = rates_of(train)
    assert firsts(critic) == pytest.approx(linear(5 * STEPS))
    assert firsts(generator) == pytest.approx(linear(STEPS))
    assert record.schedule == ""


def test_multipliers_that_are_set_later_stay():
    def train(make_optimizer, report):
        optimizer = make_optimizer([{"params": [parameter()]}, {"params": [parameter()]}])
        scheduler = make_optimizer.scheduler(optimizer)
        for k in range(STEPS):
            if k in (0, 4):
                optimizer.param_groups[1]["lr"] *= 0.1
            descend(optimizer)
            scheduler.step()
        report(STEPS, 1.0)

    _, (rates,) = rates_of(train)
    assert [r[0] for r in rates] == pytest.approx(linear(STEPS))
    assert [r[1] for r in rates] == pytest.approx([f * (0.1 if k < 4 else 0.01) for k, f in enumerate(linear(STEPS))])


def test_a_group_that_is_added_later_follows_as_well():
    def train(make_optimizer, report):
        optimizer = make_optimizer([parameter()])
        scheduler = make_optimizer.scheduler(optimizer)
        for k in range(STEPS):
            if k == 4:
                optimizer.add_param_group({"params": [parameter()]})
            descend(optimizer)
            scheduler.step()
        report(STEPS, 1.0)

    _, (rates,) = rates_of(train)
    assert firsts(rates) == pytest.approx(linear(STEPS))
    assert [r[1] for r in rates[5:]] == pytest.approx(linear(STEPS)[5:])


def test_after_loading_a_state_the_rate_goes_on_falling():
    def train(make_optimizer, report):
        optimizer = make_optimizer([parameter()])
        scheduler = make_optimizer.scheduler(optimizer)
        start = optimizer.state_dict()
        for k in range(STEPS):
            if k == 4:  # a snapshot of the beginning, as one who starts the optimizer's state anew
                optimizer.load_state_dict(start)
            descend(optimizer)
            scheduler.step()
        report(STEPS, 1.0)

    _, (rates,) = rates_of(train)
    expected = linear(STEPS)
    expected[4] = 1.0  # what was loaded, until the scheduler's next step
    assert firsts(rates) == pytest.approx(expected)


def test_going_on_from_a_checkpoint():
    def train(make_optimizer, report):
        def start():
            optimizer = make_optimizer([parameter()])
            return optimizer, make_optimizer.scheduler(optimizer)

        optimizer, scheduler = start()
        for _ in range(3):
            descend(optimizer)
            scheduler.step()
        kept = optimizer.state_dict(), scheduler.state_dict()
        optimizer, scheduler = start()
        optimizer.load_state_dict(kept[0])
        scheduler.load_state_dict(kept[1])
        for _ in range(STEPS - 3):
            descend(optimizer)
            scheduler.step()
        report(STEPS, 1.0)

    _, (first, second) = rates_of(train)
    assert firsts(first + second) == pytest.approx(linear(STEPS))


def test_accelerate_prepares_both():
    accelerate = pytest.importorskip("accelerate", reason="needs the extra ecosystem")

    def train(make_optimizer, report):
        accelerator = accelerate.Accelerator(cpu=True)
        model = torch.nn.Linear(2, 1)
        optimizer = make_optimizer(model.parameters())
        scheduler = make_optimizer.scheduler(optimizer)
        model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
        for _ in range(STEPS):
            optimizer.zero_grad()
            accelerator.backward(model(torch.ones(4, 2)).sum())
            optimizer.step()
            scheduler.step()
        report(STEPS, 1.0)

    record, (rates,) = rates_of(train)
    assert firsts(rates) == pytest.approx(linear(STEPS))
    assert (record.status, record.schedule) == (FINISHED, "")
    assert record.rates == [0.0]  # as it was in the end, in the optimizer's own groups


def test_a_loop_that_asks_for_nothing_has_a_constant_rate_and_the_record_says_so():
    def train(make_optimizer, report):
        optimizer = make_optimizer([parameter()])
        for k in range(STEPS):
            descend(optimizer)
            report(k + 1, 1.0)

    record, (rates,) = rates_of(train)
    assert firsts(rates) == [1.0] * STEPS
    assert record.schedule == "none: the training loop asked for no scheduler"
    assert rates_of(train, schedule="constant")[0].schedule == ""


def test_a_scheduler_that_is_not_stepped_to_the_end_is_told():
    def train(make_optimizer, report):
        optimizer = make_optimizer([parameter()])
        scheduler = make_optimizer.scheduler(optimizer)
        for _ in range(3):
            descend(optimizer)
            scheduler.step()
        report(3, 1.0)

    record, _ = rates_of(train)
    assert record.schedule == "cut short: a scheduler was stepped 3 of 8 times"


def test_a_loop_may_ask_for_the_factor():
    def train(make_optimizer, report):
        optimizer = make_optimizer([parameter()])
        for k in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * make_optimizer.factor(k)
            descend(optimizer)
        report(STEPS, 1.0)

    record, (rates,) = rates_of(train)
    assert firsts(rates) == pytest.approx(linear(STEPS))
    assert record.schedule == ""


@pytest.mark.parametrize("text", ["", None, 3])
def test_own_schedule_wants_words(text):
    record, _ = rates_of(lambda make_optimizer, report: make_optimizer.own_schedule(text))
    assert "own_schedule() takes a few words" in record.message
