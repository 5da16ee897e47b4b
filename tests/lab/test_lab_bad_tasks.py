"""Tasks that do something wrong: each is a failed run that says what, and nothing else is hurt by it."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from lab import made_up
from ravine.lab import report as reports
from ravine.lab.entry import entries
from ravine.lab.records import FAILED, FINAL, Record, Settings
from ravine.lab.results import Results
from ravine.lab.runner import run
from ravine.lab.store import Store
from ravine.lab.task import FunctionTask

BAD = {
    "a vector": ("report(2, torch.ones(3))", "loss must be one number, got a Tensor of shape (3,)"),
    "nothing": ("report(2, None)", "loss must be one number, got None"),
    "text": ("report(2, '0.5')", "loss must be one number, got '0.5'"),
    "a vector as accuracy": ("report(2, 0.5, accuracy=torch.ones(2))", "accuracy must be one number"),
    "a share in percent": ("report(2, 0.5, accuracy=97.3)", "accuracy must be a share in [0, 1], got 97.3"),
    "a step backwards": ("report(0, 0.5, accuracy=0.5)", "called for step 0 after step 1"),
    "half a step": ("report(1.5, 0.5, accuracy=0.5)", "step must be a whole number of at least 0, got 1.5"),
    "a metric less": ("report(2, 0.5)", "was given ['accuracy', 'loss'] before and ['loss'] at step 2"),
    "a metric at the end": ("report(2, 0.5, accuracy=0.5, train_loss=0.1)", "give the same at every call"),
    "a clock that goes back": ("report(2, 0.5, accuracy=0.5, seconds=-1)", "seconds must not be less than before"),
    "an exception": ("raise KeyError('planted')", "KeyError: 'planted'"),
    "an exit": ("raise SystemExit(3)", "SystemExit: 3"),
}


def bad_run(what, settings=None):
    def train(make_optimizer, seed, report):
        print("said before")
        report(1, 1.0, accuracy=0.1)
        exec(BAD[what][0], {"torch": torch, "report": report})

    return run(lambda: FunctionTask(train, "bad"), settings or Settings("bad", "gd", "gd", {}, 0, 5, FINAL, 0))


@pytest.mark.parametrize("what", BAD)
def test_a_bad_task_is_a_failed_run_that_says_why(what):
    record = bad_run(what)
    assert record.status == FAILED
    assert BAD[what][1] in record.message
    assert record.curve == {"step": [1], "loss": [1.0], "accuracy": [0.1]}
    assert len(record.timing) == 1
    assert record.output == "said before\n"


def test_a_report_with_a_failed_run_of_each_kind(tmp_path):
    results = made_up.make_up("gd,adam", lambda s: 0.5)
    for what, index in zip(BAD, range(len(results.records)), strict=False):
        results.records[index] = bad_run(what, results.records[index].settings)
    assert reports.write_all(results, tmp_path)
    again = Results.load(tmp_path / "results.json")
    assert again.records == [r for n in results.names for r in results.of(n)]
    assert "said before" in (tmp_path / "report.html").read_text()


def broken(record):
    """The record as it was kept when values were checked one after the other while they were appended."""
    data = record.to_dict()
    data["curve"]["step"] = [*data["curve"]["step"], 9]
    data["timing"] = [*data["timing"], 1.0]
    return data


def test_records_that_were_cut_in_the_middle_heal(tmp_path):
    results = made_up.make_up("gd,adam", lambda s: 0.5)
    data = results.to_dict()
    data["records"] = [broken(r) for r in results.records]
    (tmp_path / "results.json").write_text(json.dumps(data))
    again = Results.load(tmp_path / "results.json")
    assert again.records == results.records
    assert reports.write_all(again, tmp_path)


def test_a_store_that_holds_such_a_record_heals(tmp_path):
    header = made_up.header("gd")
    store, (entry,) = Store(f"sqlite:///{tmp_path / 'runs.sqlite3'}"), entries(header)
    study = store.enter(entry)
    claim = store.claim({study: entry})
    record = made_up.record(claim.settings, 0.5)
    store.finish(claim, record)
    (trial,) = [t for t in store.storage.get_all_trials(study) if "record" in t.user_attrs]
    from optuna.storages._rdb.models import TrialUserAttributeModel as Row
    from sqlalchemy import update

    with store.engine.begin() as connection:
        what = update(Row).where(Row.trial_id == trial._trial_id, Row.key == "record")
        connection.execute(what.values(value_json=json.dumps(broken(record))))
    assert Store(store.url).records(study) == [record]


def test_what_a_later_version_keeps_besides_is_passed_over():
    record = made_up.record(Settings("t", "gd", "gd", {}, 0, 10, FINAL, 0), 0.5)
    data = record.to_dict()
    data["weather"], data["settings"]["mood"] = "fine", 3
    assert Record.from_dict(data) == record


def test_what_is_measured_in_one_number_may_be_a_tensor():
    def train(make_optimizer, seed, report):
        report(torch.tensor(1), torch.tensor([0.5]), accuracy=torch.tensor(1.0))
        report(2.0, 0.25, accuracy=1)

    record = run(lambda: FunctionTask(train, "t"), Settings("t", "gd", "gd", {}, 0, 5, FINAL, 0))
    assert record.curve == {"step": [1, 2], "loss": [0.5, 0.25], "accuracy": [1.0, 1.0]}


def test_a_task_that_prints_much_keeps_its_end():
    def train(make_optimizer, seed, report):
        import sys

        for i in range(5000):
            print("line", i)
        print("a warning", file=sys.stderr)
        report(1, 1.0)

    record = run(lambda: FunctionTask(train, "t"), Settings("t", "gd", "gd", {}, 0, 5, FINAL, 0))
    assert record.output.endswith("line 4999\na warning\n")
    assert len(record.output) == 8000
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))).output == record.output
