"""The benchmark measures what it says."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ravine.bench import loop
from ravine.bench.cases import CASES, make_floor
from ravine.bench.measure import first_step, parameters, spread
from ravine.bench.shapes import SHAPES, shapes
from ravine.cli.bench import bench


def test_shapes_are_those_of_the_models() -> None:
    sizes = {name: (len(s := shapes(name)), sum(torch.Size(x).numel() for x in s)) for name in SHAPES}
    assert sizes == {
        "large": (1, 16_777_216),
        "resnet50": (161, 25_557_032),
        "gpt2": (148, 124_439_808),
        "small": (400, 220_000),
    }


def test_shapes_of_a_model_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text("import torch\ndef make(): return torch.nn.Linear(3, 2)\n")
    assert shapes(f"{tmp_path}/my_net.py:make") == [(2, 3), (2,)]


@pytest.mark.parametrize("name", CASES)
def test_the_floor_moves_the_same_bytes(name: str) -> None:
    params = parameters([(7,), (3, 4)])
    optimizer = CASES[name].make(params)
    optimizer.step()
    floor = make_floor(params, optimizer)
    floor.step()
    mine, least = (o._plans[0].buckets[0][1].storage for o in (optimizer, floor))
    assert (mine.x, mine.g, mine.slots) == (least.x, least.g, least.slots)


@pytest.mark.parametrize("name", CASES)
def test_torchs_ways_do_the_same_step(name: str) -> None:
    case = CASES[name]
    results = []
    for make in (case.make, *case.theirs(compiled=False).values()):
        params = parameters([(7,), (3, 4)])
        optimizer = make(params)
        grads = [p.grad for p in params]
        for _ in range(3):
            for p, g in zip(params, grads, strict=True):
                p.grad = g.clone()  # torch's foreach SGD adds Nesterov's momentum to the gradient it is given
            optimizer.step()
        results.append(torch.cat([p.detach().flatten() for p in params]))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-5, atol=1e-6)


def test_spread() -> None:
    assert spread([2.0, 4.0, 6.0], [1.0, 1.0, 1.0]) == {"median": 4.0, "low": 2.0, "high": 6.0}


def test_the_command_writes_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.py").write_text("import torch\ndef make(): return torch.nn.Linear(3, 2)\n")
    out = tmp_path / "new" / "figures.json"
    model = f"{tmp_path}/tiny.py:make"
    monkeypatch.setattr("ravine.bench.measure.first_step", lambda: {"cold": 0.5, "warm": 0.25})
    result = CliRunner().invoke(
        bench, ["--model", model, "--optimizers", "adam,lion", "--pairs", "2", "--threads", "1", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())
    assert set(figures["shapes"][model]) == {"adam", "lion"}
    row = figures["shapes"][model]["adam"]
    assert set(row["ratios"]) == {"loop", "foreach", "fused"}
    assert row["seconds"]["ravine"] > 0
    assert figures["machine"]["threads"] == 1
    for turns in ("in_turn", "in_blocks"):
        in_a_loop = row["loop"][turns]
        assert set(in_a_loop["ratios"]) == {"loop", "foreach", "fused"}
        assert in_a_loop["seconds"]["ravine"] > 0
    assert result.output.index("in a training loop") < result.output.index("gradients that stay")


class Recorder:
    """An optimizer that only notes what it finds."""

    def __init__(self, name: str, params: list[torch.Tensor], log: list[str]) -> None:
        self.name, self.params, self.log = name, params, log
        self.found: list[list[torch.Tensor]] = []

    def step(self) -> None:
        self.log.append(self.name)
        self.found.append([p.grad for p in self.params if p.grad is not None])


def test_a_turn_makes_new_gradients_for_every_shape() -> None:
    network = loop.Network([(3, 4), (5,), (2, 3, 2, 2)])
    recorder = Recorder("one", network.params, [])
    assert network.turn(recorder) >= 0
    assert all(p.grad is None for p in network.params)
    network.turn(recorder)
    first, second = recorder.found
    assert [g.shape for g in first] == [p.shape for p in network.params]
    assert all(bool(g.any()) for g in first)
    assert not {id(g) for g in first} & {id(g) for g in second}


def test_turns_step_by_step_and_in_blocks() -> None:
    network, log = loop.Network([(3,)]), list[str]()
    both = {name: Recorder(name, network.params, log) for name in ("ravine", "other")}
    loop._times(network, both, 2, 1)
    assert log == ["other", "ravine", "ravine", "other"]
    log.clear()
    loop._times(network, both, 10, 5)
    assert log == ["other"] * 5 + ["ravine"] * 10 + ["other"] * 5


def test_one_thread_is_a_contender_where_torch_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    stepped = Recorder("one", [], [])
    stepped.step = lambda: seen.append(torch.get_num_threads())  # type: ignore[method-assign]
    loop._OnOneThread(stepped).step()  # type: ignore[arg-type]
    assert seen == [1]
    assert torch.get_num_threads() == 2
    assert loop.ONE_THREAD in loop.compare(CASES["lion"], [(3,)], 1)["in_turn"]["ratios"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizers", "adamm"], "did you mean 'adam'"),
        (["--shapes", "smal", "--optimizers", "adam"], "did you mean 'small'"),
        (["--model", "nowhere.py:make", "--optimizers", "adam"], "no such file"),
        (["--model", "json:make", "--optimizers", "adam"], "no model 'json:make'"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(bench, [*arguments, "--pairs", "1"])
    assert message in str(result.exception)


def test_the_first_step_of_a_process() -> None:
    assert all(0 < seconds < 60 for seconds in first_step(processes=1).values())


def allocated(step: Callable[[], object]) -> tuple[int, int]:
    """Bytes that a step asks torch for, and the peak of what it asks Python for."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    asked = sum(max(0, event.cpu_memory_usage) for event in profile.events())
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return asked, peak


@pytest.mark.parametrize("name", CASES)
def test_a_step_allocates_nothing(name: str) -> None:
    params = parameters([(1000, 1000), (10,)])
    optimizer = CASES[name].make(params)
    optimizer.step()
    asked, peak = allocated(optimizer.step)
    assert asked == 0
    assert peak < 20_000


def test_an_allocation_would_be_seen() -> None:
    optimizer = torch.optim.RMSprop(parameters([(1000, 1000)]), foreach=True)
    optimizer.step()
    assert allocated(optimizer.step)[0] >= 4_000_000
