"""The built-in tasks: what they are made of; test data apart; devices and precision."""

from __future__ import annotations

from functools import partial

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from click.testing import CliRunner

from ravine.cli import group
from ravine.lab import tasks
from ravine.lab.batched import most
from ravine.lab.records import FINISHED, Record, Settings
from ravine.lab.results import Results
from ravine.lab.runner import run, run_batch
from ravine.lab.task import Data, Task
from ravine.lab.tasks import digits_gan, digits_lora, stdlib_gpt

SMALL = {
    "stdlib-gpt": "stdlib-gpt[width=32,layers=1,context=32,windows=500]",
    "digits-resnet": "digits-resnet[width=4]",
}
"""The larger ones, smaller."""
RATES = {"digits-lora": 0.03, "digits-gan": 3e-4}


def ran(spec, stage="final", steps=10, lr=0.003, rule="adam"):
    task = tasks.find(spec)
    return run(lambda: task, Settings(spec, rule, rule, {"lr": lr}, 0, steps, stage, 0))


@pytest.mark.parametrize("name", [n for n in tasks.BUILT_IN if n not in tasks.SUITE])
def test_every_task_learns_and_is_tested_when_it_is_scored(name):
    record = ran(SMALL.get(name, name), steps=80 if name == "digits-gan" else 30, lr=RATES.get(name, 0.01))
    assert record.status == FINISHED, record.message
    assert record.validation_loss < 0.95 * record.curve["loss"][0]
    assert record.test["loss"] == record.loss != record.validation_loss
    assert record.schedule == ""
    assert ran(SMALL.get(name, name), "tuning", steps=2).test == {}


@pytest.mark.parametrize("name", [n for n in tasks.BUILT_IN if n not in ("stdlib-lm", "stdlib-gpt", "digits-gan")])
def test_no_example_is_in_two_parts(name):
    data = tasks.find(name).loaded
    parts = [{tuple(x.flatten().tolist()) for x in part[0]} for part in (data.train, data.validation, data.test)]
    assert all(len(a & b) == 0 for i, a in enumerate(parts) for b in parts[:i])


def test_no_file_of_the_standard_library_is_in_two_parts():
    from ravine.lab.tasks.stdlib_lm import split_files

    parts = [set(p) for p in split_files()]
    assert [len(a & b) for i, a in enumerate(parts) for b in parts[:i]] == [0, 0, 0]
    assert len(parts[0]) > 4 * len(parts[1]) > 0 < len(parts[2])


def toy(test=0.0, **changed):
    def data():
        x = torch.arange(40.0).unsqueeze(1) / 40
        return Data((x[:30], x[:30]), (x[30:], x[30:]))

    return Task("toy", "Toy", data, lambda: torch.nn.Linear(1, 1), torch.nn.functional.mse_loss, test=test, **changed)


def test_a_share_of_the_training_examples_is_put_aside_on_request():
    whole, split = toy().loaded, toy(0.2).loaded
    assert whole.test is None
    assert (len(split.train[0]), len(split.test[0])) == (24, 6)
    assert torch.equal(torch.cat([split.train[0], split.test[0]]).sort(0).values, whole.train[0])
    assert torch.equal(split.validation[0], whole.validation[0])
    again = toy(0.2).loaded
    assert torch.equal(again.test[0], split.test[0])
    record = run(lambda: toy(0.2), Settings("toy", "gd", "gd", {"lr": 0.5}, 0, 30, "final", 0))
    assert record.loss == record.test["loss"]
    assert Record.from_dict(record.to_dict()) == record


@pytest.mark.parametrize("wrong", [{"test": 1.0}, {"test": -0.1}, {"test": True}, {"precision": "float16"}])
def test_mistakes_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        toy(**wrong)
    with pytest.raises(ValueError, match="has test data of its own"):
        _ = tasks.find("digits[test=0.1]").loaded
    with pytest.raises(ValueError, match="torch can't use the device 'nowhere' here"):
        tasks.find("digits[device=nowhere]")
    with pytest.raises(ValueError, match=r"unknown option of task digits 'widht'; did you mean 'width'"):
        tasks.find("digits[widht=3]")


def test_bfloat16_runs_the_forward_pass_in_it_and_keeps_parameters():
    seen = set()

    class Watched(torch.nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            seen.add((out.dtype, self.weight.dtype))
            return out

    for precision in ("float32", "bfloat16"):
        seen.clear()
        task = toy(precision=precision)
        task = Task(**{**vars(task), "model": lambda: Watched(1, 1)})
        record = run(lambda task=task: task, Settings("toy", "gd", "gd", {"lr": 0.5}, 0, 30, "final", 0))
        assert record.status == FINISHED
        assert seen == {(getattr(torch, precision), torch.float32)}


def test_another_device_gets_model_and_data():
    """The device without memory: computing on it goes, and taking a number out of it is what fails, and where."""
    record = run(lambda: toy(device="meta"), Settings("toy", "gd", "gd", {"lr": 0.1}, 0, 5, "final", 0))
    assert "_evaluate" in record.message
    assert "meta" in record.message


def test_options_of_files(tmp_path):
    (tmp_path / "loop.py").write_text(
        "def train(make_optimizer, seed, report, steps=5, width=3):\n    report(1, width)\n"
    )
    spec = f"{tmp_path / 'loop.py'}[width=7]"
    assert ran(spec).loss == 7
    with pytest.raises(ValueError, match=r"unknown argument of loop\(\) 'device'"):
        tasks.find(f"{tmp_path / 'loop.py'}[device=cpu]")
    (tmp_path / "task.py").write_text("from ravine.lab.tasks import diabetes\ntask = diabetes.task(width=4)\n")
    assert tasks.find(f"{tmp_path / 'task.py'}[precision=bfloat16]").precision == "bfloat16"
    with pytest.raises(ValueError, match="unknown option of a task"):
        tasks.find(f"{tmp_path / 'task.py'}[width=8]")


def test_the_tokenizer_loses_nothing_and_shortens():
    text = "def hello(name):\n    return f'{name}, {12345}'\t# unusual_identifier\n"
    tokenizer = stdlib_gpt.Tokenizer([text] * 3, 256)
    tokens = tokenizer.encode(text + "é")
    assert tokenizer.decode(tokens) == text + "\N{REPLACEMENT CHARACTER}"
    assert len(tokens) < len(text) / 2
    assert tokenizer.decode(stdlib_gpt.Tokenizer([""], 256).encode("all of it")) == "all of it"
    assert max(tokens) == 255


@pytest.mark.parametrize("options", ["", "width=320,layers=8"])
def test_the_number_of_parameters_is_told_rightly(options):
    task = tasks.find(f"stdlib-gpt[{options}]" if options else "stdlib-gpt")
    with torch.device("meta"):
        count = sum(p.numel() for p in task.model().parameters())
    assert f"{count / 1e6:.1f} million parameters" in task.about


def test_adapters_start_from_the_network_and_leave_it_alone():
    model = digits_lora.model(16, 2)
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n.rpartition(".")[2] for n in names} == {"down", "up"}
    x, _ = digits_lora.data().validation
    plain = digits_lora.digits.model(16, 2)
    plain.load_state_dict(digits_lora.pretrained(16))
    assert torch.equal(model(x), plain(x))


def test_the_energy_distance():
    a = torch.tensor([[0.0], [1.0]])
    assert digits_gan.distance(a, a + 10) == pytest.approx(2 * 10 - 1 - 1)
    same = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    assert abs(digits_gan.distance(same[:150], same[150:])) < 0.1


def test_scores_are_test_losses_in_results_too(tmp_path):
    args = ["compare", "diabetes", "--optimizers", "adamax,adam", "--trials", "1", "--seeds", "2", "--steps", "5"]
    done = CliRunner().invoke(group, [*args, "--workers", "1", "--precision", "bfloat16", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    results = Results.load(tmp_path / "results.json")
    assert results.task["spec"] == "diabetes[precision=bfloat16]"
    for record in results.records:
        assert bool(record.test) == (record.settings.stage != "tuning") or record.status != FINISHED
    (row, *_) = results.summary.rows
    scored = [r.test["loss"] for r in results.of(row.name, "final")]
    assert min(scored) <= row.loss.value <= max(scored)
    assert "test loss" in done.output
    assert "test loss" in (tmp_path / "report.html").read_text()


def test_runs_in_a_batch_are_tested_as_others_are():
    scored = [
        Settings("digits", "adam", "adam", {"lr": lr}, 0, 20, "final", 0, k) for k, lr in enumerate((0.001, 0.01))
    ]
    load = partial(tasks.find, "digits")
    for together, alone in zip(run_batch(load, scored, [(), ()]), [run(load, s) for s in scored], strict=True):
        assert (together.engine, alone.engine) == ("batched", "")
        assert together.loss == pytest.approx(alone.loss, rel=1e-4)
        assert together.loss == together.test["loss"] != together.validation_loss
    for options in ("precision=bfloat16", "device=meta"):
        assert most(tasks.find(f"digits[{options}]")) == 1 < most(tasks.find("digits"))
