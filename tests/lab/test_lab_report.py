"""The summary and the report, from made-up records."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from made_up import make_up, record

from ravine.lab import report
from ravine.lab.profile import mean_ranks, profile
from ravine.lab.protocol import Protocol
from ravine.lab.records import FINAL, TUNING, Settings
from ravine.lab.report import html, suite, words
from ravine.lab.report.suite import write_suite
from ravine.lab.results import Results
from ravine.lab.sensitivity import curve
from ravine.lab.space import Span
from ravine.lab.statistics import Interval
from ravine.lab.summary import summary

pytest.importorskip("matplotlib", reason="the lab draws with Matplotlib")


def test_the_order_is_by_mean_final_loss_and_diverged_ones_come_last():
    losses = {"adam": 0.3, "gd": 0.1, "rmsprop": 0.01}

    def loss(s):
        return math.inf if s.contender == "rmsprop" and s.stage == FINAL and s.repetition == 1 else losses[s.contender]

    made = summary(make_up("adam,gd,rmsprop", loss))
    assert [r.name for r in made.rows] == ["gd", "adam", "rmsprop"]
    last = made.rows[-1]
    assert (last.scored, last.scored_finished, last.diverged) == (3, 2, 1)
    assert math.isnan(last.loss.value)  # no mean over the two that are left
    assert last.median_loss == 0.01
    assert last.diverged_share == 1 / 18


def test_target_and_steps_to_it():
    losses = {"adam": 0.1, "gd": 0.2, "rmsprop": 1.05}
    made = summary(make_up("adam,gd,rmsprop", lambda s: losses[s.contender]))
    assert made.target == 0.2
    steps = {r.name: (r.steps_to_target.value, r.reached) for r in made.rows}
    assert steps == {"adam": (pytest.approx(10), 3), "gd": (pytest.approx(10), 3), "rmsprop": (math.inf, 0)}


def test_the_best_at_the_end_of_its_range_is_said():
    made = make_up(
        "adam,gd",
        lambda s: s.hyper.get("lr", 0.1) if s.contender == "adam" else abs(math.log(s.hyper.get("lr", 0.1) / 0.05)),
    )
    rows = {r.name: r.at_edge for r in summary(made).rows}
    assert rows == {"adam": ("lr",), "gd": ()}
    assert "tried by adam was mostly at the end" in html.page(made)


def two_dimensional(s):
    """Best at lr 0.01 and beta1 0.9; gd has no beta1."""
    far = abs(math.log10(s.hyper.get("lr", 0.1)) + 2) + abs(math.log10(1 - s.hyper.get("beta1", 0.9)) + 1)
    return 0.1 + far / 10


def test_two_hyperparameters_are_told_of_each(tmp_path):
    results = make_up("adam,gd", two_dimensional, protocol=PROTOCOL, tune=["lr", "beta1"])
    made = summary(results)
    rows = {r.name: r for r in made.rows}
    assert list(rows["adam"].best) == ["lr", "beta1"]
    assert list(rows["gd"].best) == ["lr"]
    assert math.isnan(rows["adam"].robust_decades)  # which rates are good depends on beta1
    assert rows["gd"].robust_decades > 0
    chosen = [r.settings.hyper["beta1"] for r in results.of("adam", FINAL)]
    assert min(chosen) < rows["adam"].best["beta1"] < max(chosen)
    assert words.best(rows["adam"]).split(", ")[1].startswith("beta1 0.")
    headings, *lines = words.short_table(made)
    assert headings[1] == "tuned"
    assert {line[1].count("\n") for line in lines} == {0, 1}
    page = html.page(results)
    assert "Searched: lr from 3.2e-05 to 0.32, beta1 from 0 to 0.99 (even in powers of ten of 1 − beta1)." in page
    assert "given below each optimizer" in page
    assert "default/32" not in page
    drawn = {p.name for p in report.write_all(results, tmp_path)}
    assert {"lr.png", "beta1.png", "beta1.svg"} <= drawn
    again = Results.load(tmp_path / "results.json")
    assert html.page(again) == page


def test_results_from_before_there_were_scales_are_read(tmp_path):
    results = make_up("adam,gd", lambda s: abs(math.log10(s.hyper.get("lr", 0.1)) + 2))
    results.save(tmp_path)
    file = tmp_path / "results.json"
    data = json.loads(file.read_text())
    for contender in data["contenders"]:
        assert contender["space"]["lr"][2:] == ["log"]
        contender["space"]["lr"] = contender["space"]["lr"][:2]
    file.write_text(json.dumps(data))
    assert html.page(Results.load(file)) == html.page(results)
    assert "default/32 to default·316" in html.page(results)
    assert words.short_table(summary(results))[0][1] == "best lr"


@pytest.mark.parametrize(
    ("value", "text"), [(0.9968377, "0.9968"), (0.99, "0.99"), (0.944, "0.944"), (0.9, "0.9"), (0.00316, "0.0032")]
)
def test_a_decay_near_one_is_shown_by_what_it_lacks(value, text):
    assert words.setting(value) == text


def test_results_survive_the_file(tmp_path):
    results = make_up("adam,gd", lambda s: math.inf if s.trial == 2 else 0.5 + s.seed / 10)
    results.save(tmp_path)
    again = Results.load(tmp_path / "results.json")
    assert again.to_dict() == json.loads((tmp_path / "results.json").read_text())
    assert [r for r in again.records if r.status == "finished"] == sorted(
        [r for r in results.records if r.status == "finished"], key=lambda r: (r.settings.contender, r.settings.key)
    )


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', '{"format": 1}', "[]"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"results\.json"):
        Results.load(tmp_path / "results.json")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.links += [v for n, v in attrs if n in ("src", "href")]


def test_the_page_needs_no_network_and_escapes_what_users_write():
    hostile = "</script><script>alert(1)</script>$x$"
    results = make_up("adam,gd", lambda s: 0.5 + s.seed / 10, task=hostile)
    page = html.page(results)
    tags = Tags()
    tags.feed(page)
    assert tags.found.count("script") == 2  # the data, and the page's own
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert not tags.links
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org/)", page)
    assert tags.found.count("math") == 2


def test_no_name_ends_the_pages_data():
    results = make_up("adam,gd", lambda s: 0.5)
    name = "</script><!--"
    contenders = [{**results.contenders[0], "name": name}, results.contenders[1]]
    records = [
        replace(r, settings=replace(r.settings, contender=name)) if r.settings.contender == "adam" else r
        for r in results.records
    ]
    page = html.page(replace(results, contenders=contenders, records=records))
    assert name not in page
    start = page.index('id="data">') + len('id="data">')
    data = json.loads(page[start : page.index("</script>", start)])
    assert {r["name"] for r in data["rows"]} == {name, "gd"}


def test_files_are_written_and_an_incomplete_comparison_says_so(tmp_path):
    results = make_up("adam,gd", lambda s: 0.5 + s.seed / 10)
    written = report.write_all(results, tmp_path)
    figures = {"curves.png", "curves.svg", "lr.png", "lr.svg"}
    assert {p.name for p in written} == {"report.html", "results.json", "table.md", *figures}
    assert all(p.stat().st_size > 500 for p in written)
    table = (tmp_path / "table.md").read_text()
    assert "| adam |" in table
    assert table.startswith("adam ended lowest")
    assert "not complete" not in (tmp_path / "report.html").read_text()
    some = [r for r in results.records if r.settings.stage == TUNING]
    part = Results(results.task, results.protocol, results.contenders, results.environment, some)
    assert "not complete" in html.page(part)
    nothing = Results(results.task, results.protocol, results.contenders, results.environment, [])
    report.write_all(nothing, tmp_path)


def test_the_report_runs_nothing(tmp_path):
    results = make_up("adam,gd", lambda s: 0.5 + s.seed / 10)
    results.save(tmp_path)
    code = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.partition('.')[0] in ('torch', 'sklearn', 'jax', 'multiprocessing'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from pathlib import Path; from ravine.lab import report; from ravine.lab.results import Results\n"
        "folder = Path(sys.argv[1]); report.write_all(Results.load(folder / 'results.json'), folder)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "report.html").exists()


def test_learning_rates_within_ten_percent_of_the_best():
    def at(rates):
        protocol = replace(PROTOCOL, seeds=9)
        results = make_up("gd", lambda s: rates(math.log10(s.hyper.get("lr", 1.0))), protocol=protocol)
        return summary(results).rows[0].robust_decades

    assert 3.5 <= at(lambda x: 1.0) <= 4.0  # as far as the trials of nine repetitions go in the four decades
    valley = at(lambda x: 1.0 + 0.1 * (x + 1.0) ** 2)  # 10% more than the best a decade away on either side
    assert valley == pytest.approx(2.0, abs=0.1)
    cliff = at(lambda x: 1.0 if x < -1 else math.inf)  # from gd's lowest rate, 10**-3.5, on
    assert cliff == pytest.approx(2.5, abs=0.3)
    assert math.isnan(at(lambda x: math.inf))


def test_a_curve_is_the_median_of_the_repetitions_joined_by_lines():
    span = Span(1e-4, 1.0)

    def trial(repetition, lr, loss):
        settings = Settings("t", "gd", "gd", {"lr": lr}, 0, 10, TUNING, repetition)
        return record(settings, loss)

    first = [trial(0, 0.001, 0.3), trial(0, 0.1, 0.1)]
    second = [trial(1, 0.01, 0.4), trial(1, 1.0, math.inf)]
    third = [trial(2, 0.001, 0.9), trial(2, 0.1, 0.5)]
    found = curve([*first, *second, *third], "lr", span)
    assert [v for v, _ in found] == [0.001, 0.01, 0.1, 1.0]
    assert [loss for _, loss in found] == pytest.approx([0.6, 0.4, 0.5, math.inf])


PROTOCOL = Protocol(steps=10, trials=8, seeds=2)


def test_the_tuning_curve_is_the_best_so_far():
    row = summary(
        make_up("gd", lambda s: [0.5, 0.3, 0.4, 0.1][s.trial] + s.repetition, protocol=replace(PROTOCOL, trials=4))
    ).rows[0]
    assert row.tuning_curve == pytest.approx((1.0, 0.8, 0.8, 0.6))
    assert row.gap.value == pytest.approx(0.01)


def test_the_performance_profile():
    """gd is the fastest of the one task, adam of the other, where gd needs twice as long; rmsprop never gets there."""

    def task(losses):
        return make_up("adam,gd,rmsprop", lambda s: losses[s.contender], protocol=replace(PROTOCOL, trials=1))

    first, second = task({"adam": 0.5, "gd": 0.4, "rmsprop": 1.9}), task({"adam": -3.0, "gd": 0.5, "rmsprop": 1.9})
    # first: the target is 0.5, reached at step 10 by both; second: 0.5, which adam reaches at step 5 (half way to -3)
    found = profile([first, second])
    assert found["adam"] == [(1.0, 1.0)]
    assert found["gd"] == [(1.0, 0.5), (2.0, 1.0)]
    assert found["rmsprop"] == []
    ranks = mean_ranks([first, second])
    assert {n: r.value for n, r in ranks.items()} == {"adam": 1.5, "gd": 1.5, "rmsprop": 3.0}


def test_the_suites_page(tmp_path):
    one = make_up("adam,gd", lambda s: 0.5 + s.seed / 10, task="<b>bold</b>")
    page, picture = write_suite({"one": one, "two": make_up("adam,gd", lambda s: 0.4 + s.seed / 10)}, tmp_path)
    assert picture.stat().st_size > 1000
    text = page.read_text()
    assert "&lt;b&gt;bold" in text
    assert "<b>" not in text
    assert 'href="one/report.html"' in text
    assert "adam has the lowest mean rank over these tasks, 1.5 (1.0 to 2.0)." in text
    assert "not told apart from gd" in text


def test_the_suites_verdict_says_how_sure_it_is():
    def sure(s):
        return (1.0 if s.contender == "gd" else 0.5) + s.seed / 1000

    def unsure(s):
        return 0.5 + (s.seed * (3 if s.contender == "gd" else 7)) % 11

    five = replace(PROTOCOL, seeds=5)
    apart, mixed = (make_up("adam,gd", losses, protocol=five) for losses in (sure, unsure))
    assert suite.verdict(mean_ranks([apart, apart])).startswith(
        "<p>adam has the lowest mean rank over these tasks, 1.0"
    )
    assert "No other" in suite.verdict(mean_ranks([apart, apart]))
    assert "not told apart from" in suite.verdict(mean_ranks([mixed, mixed]))


def test_parquet_has_a_row_a_measurement(tmp_path):
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    results = make_up("adam,gd", lambda s: math.inf if s.trial == 1 else 0.5)
    report.write_all(results, tmp_path, parquet=True)
    rows = pyarrow.read_table(tmp_path / "runs.parquet").to_pylist()
    assert len(rows) == sum(len(r.curve["step"]) for r in results.records)
    assert {r["status"] for r in rows} == {"finished", "diverged"}
    assert rows[0]["contender"] == "adam"
    assert json.loads(rows[0]["hyper"]) == results.records[0].settings.hyper


def test_event_files_for_tensorboard(tmp_path):
    loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader", reason="needs the extra tensorboard"
    )
    results = make_up("adam,gd", lambda s: 0.5, protocol=Protocol(steps=10, trials=1, seeds=2))
    report.write_all(results, tmp_path, tensorboard=True)
    runs = [p.name for p in (tmp_path / "tensorboard").iterdir()]
    assert len(runs) == len(results.records)
    (file,) = (tmp_path / "tensorboard" / "adam-tuning-0-0").iterdir()
    events = list(loader.RawEventFileLoader(str(file)).Load())
    assert len(events) == 1 + 3  # the version, and three measurements


def test_the_short_interval_holds_the_value_and_the_interval() -> None:
    """For 96.8 % (96.7 to 96.9) a terminal shows (96–97), not (96–96)."""
    row = SimpleNamespace(
        name="adam",
        scored=5,
        scored_finished=5,
        diverged_share=0.0,
        seconds_per_step=0.001,
        accuracy=Interval(0.968, 0.967, 0.969),
        loss=Interval(0.1, 0.1, 0.1),
        best={},
        at_edge=(),
        steps_to_target=Interval(math.nan, math.nan, math.nan),
        reached=0,
    )
    assert words.short_cells(row)[3] == "96.8 (96–97)"
