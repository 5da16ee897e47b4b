"""The summary and the report, from made-up records."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from made_up import make_up

from ravine.lab import report
from ravine.lab.records import FINAL, TUNING
from ravine.lab.report import html
from ravine.lab.results import Results
from ravine.lab.statistics import mean_interval
from ravine.lab.summary import summary

pytest.importorskip("matplotlib", reason="the lab draws with Matplotlib")


def test_the_order_is_by_mean_final_loss_and_diverged_ones_come_last():
    losses = {"adam": 0.3, "gd": 0.1, "rmsprop": 0.01}

    def loss(s):
        return math.inf if s.contender == "rmsprop" and s.stage == FINAL and s.seed == 1 else losses[s.contender]

    made = summary(make_up("adam,gd,rmsprop", loss))
    assert [r.name for r in made.rows] == ["gd", "adam", "rmsprop"]
    last = made.rows[-1]
    assert (last.scored, last.scored_finished, last.diverged) == (3, 2, 1)
    assert math.isnan(last.loss.value)  # no mean over the two that are left
    assert last.median_loss == 0.01
    assert last.diverged_share == 1 / 7


def test_target_and_steps_to_it():
    losses = {"adam": 0.1, "gd": 0.2, "rmsprop": 1.05}
    made = summary(make_up("adam,gd,rmsprop", lambda s: losses[s.contender]))
    assert made.target == 0.2
    steps = {r.name: (r.steps_to_target, r.reached) for r in made.rows}
    assert steps == {"adam": (10, 3), "gd": (10, 3), "rmsprop": (math.inf, 0)}


def test_the_best_at_the_end_of_its_range_is_said():
    made = make_up("adam,gd", lambda s: s.hyper["lr"] if s.contender == "adam" else abs(math.log(s.hyper["lr"] / 0.05)))
    rows = {r.name: r.at_edge for r in summary(made).rows}
    assert rows == {"adam": ("lr",), "gd": ()}
    assert "tried by adam was at the end" in html.page(made)


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
    results = make_up("adam,gd", lambda s: 0.5 + s.seed / 10, task="<script>alert(1)</script>$x$")
    page = html.page(results)
    tags = Tags()
    tags.feed(page)
    assert "script" not in tags.found
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert tags.links
    assert all(link.startswith("data:image/png;base64,") for link in tags.links)
    assert not re.search(r"@import|url\(", page)
    assert tags.found.count("math") == 2


def test_files_are_written_and_an_incomplete_comparison_says_so(tmp_path):
    results = make_up("adam,gd", lambda s: 0.5 + s.seed / 10)
    written = report.write_all(results, tmp_path)
    assert {p.name for p in written} == {"report.html", "results.json", "curves.png", "lr.png"}
    assert all(p.stat().st_size > 1000 for p in written)
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


def test_the_interval_equals_students_for_normal_values():
    import numpy as np
    from scipy import stats

    values = np.random.default_rng(1).normal(3.0, 2.0, 40)
    got = mean_interval(list(values))
    low, high = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert got.value == pytest.approx(values.mean())
    assert got.low == pytest.approx(low, abs=0.05)  # 40 resampled values are not quite normal
    assert got.high == pytest.approx(high, abs=0.05)


def test_the_interval_covers_the_mean_of_five_about_as_often_as_it_says():
    import numpy as np

    random = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        _, low, high = mean_interval(list(random.normal(size=5)))
        covered += low <= 0 <= high
    assert covered >= 0.90 * 300  # three standard errors below 0.94; the plain percentile interval gets 0.83


def test_one_value_has_no_bounds():
    assert mean_interval([2.0]) == (2.0, -math.inf, math.inf)
    assert math.isnan(mean_interval([]).value)
