"""One run: what is in its record, and that it comes out the same again."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from ravine.lab import tasks
from ravine.lab.records import DIVERGED, FAILED, FINISHED, Record, Settings
from ravine.lab.runner import run
from ravine.lab.task import Data, Task


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(task="toy", rule="gd", steps=20, seed=3, **hyper):
    return Settings(task, rule, rule, {"lr": 0.1, **hyper}, seed, steps, "tuning", 0, 0)


def toy(**changed):
    """A line through noise."""

    def data():
        inputs = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        return Data((inputs[:80], inputs[:80].sum(1, keepdim=True)), (inputs[80:], inputs[80:].sum(1, keepdim=True)))

    given = {
        "name": "toy",
        "title": "Toy",
        "data": data,
        "model": lambda: torch.nn.Linear(3, 1),
        "loss": torch.nn.functional.mse_loss,
        "batch_size": 16,
        "evaluations": 5,
    }
    return Task(**{**given, **changed})


@pytest.mark.parametrize("name", tasks.SUITE)
def test_every_built_in_task_learns(name):
    task = tasks.find(name)
    record = run(lambda: task, settings(name, "adam", steps=12 if name == "stdlib-lm" else 60, lr=0.003))
    assert record.status == FINISHED
    assert record.curve["step"][0] == 0
    assert record.curve["step"][-1] == record.settings.steps
    assert record.loss < 0.95 * record.curve["loss"][0]
    assert record.accuracy > record.curve["accuracy"][0]
    assert record.seconds_per_step > 0


def test_a_run_comes_out_the_same_bit_for_bit():
    first, second = run(toy, settings()), run(toy, settings())
    assert first == second
    assert first.timing != second.timing
    assert run(toy, settings(seed=4)).curve != first.curve


def test_optimizers_of_a_seed_start_alike_and_see_the_same_batches():
    seen = {}
    for rule in ("gd", "adam"):
        batches = seen[rule] = []

        def loss(outputs, targets, batches=batches):
            if outputs.requires_grad:
                batches.append(targets.clone())
            return torch.nn.functional.mse_loss(outputs, targets)

        run(lambda: toy(loss=loss), settings(rule=rule))
    assert len(seen["gd"]) == 20
    assert all(torch.equal(a, b) for a, b in zip(seen["gd"], seen["adam"], strict=True))


def test_the_look_ahead_of_nesterov_is_in_the_optimizer():
    assert run(toy, settings(rule="nesterov", lr=0.01)).curve != run(toy, settings(rule="momentum", lr=0.01)).curve


def test_a_diverged_run_is_recorded_as_far_as_it_went():
    record = run(toy, settings(steps=400, lr=1000.0))
    assert record.status == DIVERGED
    assert not math.isfinite(record.curve["loss"][-1])
    assert 0 < record.curve["step"][-1] < 400
    assert math.isinf(record.loss)
    assert math.isnan(record.accuracy)
    again = Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)))
    assert again.status == DIVERGED
    assert again.curve["step"] == record.curve["step"]
    assert math.isnan(again.curve["loss"][-1])


def test_a_run_that_ends_worse_than_it_began_has_diverged():
    record = run(toy, settings(steps=5, lr=2.0))
    assert math.isfinite(record.curve["loss"][-1])
    assert record.curve["loss"][-1] > record.curve["loss"][0]
    assert record.status == DIVERGED
    record = run(lambda: LateReport(), settings(steps=5))
    assert record.curve["loss"] == [1.0, 2.0]
    assert record.status == FINISHED  # how high the loss was before the first step is not known


class LateReport:
    """A training loop that measures after its first step for the first time, and then a higher loss."""

    name = "late"

    def train(self, make_optimizer, seed, report, steps):
        report(1, 1.0)
        report(steps, 2.0)


def test_an_exception_in_the_task_is_a_failed_run_with_its_traceback():
    def loss(outputs, targets):
        raise ZeroDivisionError("planted")

    record = run(lambda: toy(loss=loss), settings())
    assert record.status == FAILED
    assert "ZeroDivisionError: planted" in record.message
    assert math.isinf(record.loss)


def test_a_record_survives_json_bit_for_bit():
    record = run(toy, settings())
    assert Record.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))) == record


def test_steps_to_a_target():
    record = run(toy, settings())
    losses = record.curve["loss"]
    assert record.first_at(losses[2]) == (record.curve["step"][2], record.timing[2])
    assert record.first_at(-1.0) == (math.inf, math.inf)


def test_the_learning_rate_falls_to_zero_or_stays():
    rates = {}
    for schedule in ("linear", "constant"):
        seen = rates[schedule] = []

        class Watched(Task):
            def train(self, make_optimizer, seed, report, steps, seen=seen):
                optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))])
                scheduler = make_optimizer.scheduler(optimizer)
                optimizer.register_step_post_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
                for _ in range(steps):
                    optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
                    optimizer.step()
                    scheduler.step()
                report(steps, 1.0)

        watched = Watched(**vars(toy()))
        assert run(lambda watched=watched: watched, replace(settings(steps=4), schedule=schedule)).status == FINISHED
    assert rates["linear"] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert rates["constant"] == [0.1] * 4
