"""Forks, threads, hooks and interrupts: nothing crashes, hangs or leaves half a step."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ravine.torch
from ravine.engines.fused import kernel, openmp, pool
from ravine.torch.stepper import Stepper

LARGE = 1 << 20  # elements: enough for the helping threads to be called


def run(script: str) -> str:
    """A program of its own, killed if it hangs."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[True, False], ids=["torch's threads", "our own"])
def has_team(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether torch's OpenMP threads help; where there are none, helpers of our own do."""
    if not request.param:
        monkeypatch.setattr(openmp, "team", lambda: None)
    return bool(request.param)


def large(kind=ravine.torch.Adam, **options):
    p = nn.Parameter(torch.ones(LARGE))
    p.grad = torch.full((LARGE,), 0.5)
    return p, kind([p], **options)


def test_the_process_has_a_team_and_a_forked_child_has_none() -> None:
    """torch brings libgomp; a team in a forked child would hang."""
    if openmp.team() is None:
        pytest.skip("this torch has no libgomp")
    out = run("""
        import os, torch, ravine.torch
        from ravine.engines.fused import openmp
        assert openmp.team() is not None
        if os.fork() == 0:
            os._exit(0 if openmp.team() is None else 1)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """)
    assert out.strip() == "0"


@pytest.mark.usefixtures("two_threads")
def test_threads_help_and_change_no_bit(has_team) -> None:
    torch.manual_seed(0)
    start, g = torch.randn(LARGE + 5), torch.randn(LARGE + 5)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        p = nn.Parameter(start.clone())
        p.grad = g
        optimizer = ravine.torch.Adam([p])
        for _ in range(3):
            optimizer.step()
        results.append(p.detach())
    if not has_team:
        assert pool._pool._threads >= 2
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.usefixtures("two_threads")
@pytest.mark.usefixtures("has_team")
def test_many_small_tensors_are_each_stepped_once() -> None:
    """Threads claim several at a time, of which the last claim has fewer."""
    torch.manual_seed(0)
    starts = [torch.randn(300) for _ in range(2029)]
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        params = [nn.Parameter(s.clone()) for s in starts]
        optimizer = ravine.torch.Adam(params)
        for number in range(3):
            for p, s in zip(params, starts, strict=True):
                p.grad = s * (number + 1)
            optimizer.step()
        assert {float(state["step"]) for state in optimizer.state.values()} == {3.0}
        results.append(torch.cat([p.detach() for p in params]))
    bucket = optimizer._plans[0].buckets[0][1]
    assert bucket.table.traffic >= kernel.WORTH_A_THREAD
    assert 0 < bucket.table._more < len(bucket.table.chunks) // 4
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_changes_between_steps() -> None:
    p, optimizer = large()
    q, other = large()
    for threads in (1, 2, 1, 4, 2):
        torch.set_num_threads(threads)
        optimizer.step()
    torch.set_num_threads(1)
    for _ in range(5):
        other.step()
    assert torch.equal(p, q)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_steps_after_its_parent_did() -> None:
    """And the parent goes on. Both get what one process alone gets; the child may compile a new rule too.

    (torch's own operations on large tensors hang in such a child: GNU OpenMP does not survive a fork.)
    """
    out = run(f"""
        import os, torch, ravine.torch
        torch.set_num_threads(2)
        p = torch.nn.Parameter(torch.ones({LARGE})); p.grad = torch.ones({LARGE})
        optimizer = ravine.torch.Adam([p], lr=0.1)
        for _ in range(3): optimizer.step()
        child = os.fork()
        for _ in range(3): optimizer.step()
        if child == 0:
            q = torch.nn.Parameter(torch.ones(3)); q.grad = torch.ones(3)
            ravine.torch.Adadelta([q]).step()
        x = p.detach().numpy()
        who = "parent" if child else "child"
        os.write(1, (" ".join([who, str(x.min()), str(x.max())]) + chr(10)).encode())  # at once: two write
        if child == 0: os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """)
    lines = sorted(line.split() for line in out.splitlines())
    assert [line[0] for line in lines] == ["child", "parent"]
    assert len({x for line in lines for x in line[1:]}) == 1


@pytest.mark.usefixtures("two_threads")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX warns of every fork once a test has imported it
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_data_loader_workers(context: str) -> None:
    if context not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {context}")
    data = TensorDataset(torch.arange(12.0).reshape(12, 1))
    p, optimizer = large()
    optimizer.step()
    loader = DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context=context)
    seen = []
    for (batch,) in loader:
        seen += batch.flatten().tolist()
        optimizer.step()
    assert seen == list(range(12))
    assert optimizer.state[p]["step"] == 4
    assert p.min() == p.max()


@pytest.mark.usefixtures("two_threads")
def test_two_training_threads_at_once() -> None:
    wanted, optimizer = large()
    for _ in range(30):
        optimizer.step()
    results = []

    def train() -> None:
        torch.set_num_threads(2)
        p, optimizer = large()
        for _ in range(30):
            optimizer.step()
        results.append(p)

    threads = [threading.Thread(target=train) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(results) == 2
    assert all(torch.equal(p, wanted) for p in results)


def test_two_threads_compile_at_once() -> None:
    """The first step of a rule, from four threads."""
    failures: list[BaseException] = []

    def step(name: str) -> None:
        try:
            p = nn.Parameter(torch.ones(3, dtype=torch.float64))
            p.grad = torch.ones(3, dtype=torch.float64)
            ravine.torch.from_recipe([p], f"clip_value({name})").step()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=step, args=(n,)) for n in ("adam", "adamax", "adam", "nadam")]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not failures


def test_a_hook_steps_inside_backward() -> None:
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    own = {p: ravine.torch.RMSprop([p]) for p in nets[0].parameters()}

    def step(p: torch.Tensor) -> None:
        own[p].step()
        p.grad = None

    for p in nets[0].parameters():
        p.register_post_accumulate_grad_hook(step)
    whole = ravine.torch.RMSprop(nets[1].parameters())
    for _ in range(5):
        x = torch.randn(16, 4)
        nets[0](x).square().mean().backward()
        whole.zero_grad()
        nets[1](x).square().mean().backward()
        whole.step()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(p, q)


def test_an_interrupt_leaves_no_half_step() -> None:
    """Ctrl-C at 40 odd moments: all elements have made the same number of steps, and training goes on."""
    out = run(f"""
        import random, signal, torch, ravine.torch
        torch.set_num_threads(2)
        random.seed(0)
        p = torch.nn.Parameter(torch.ones({LARGE})); p.grad = torch.ones({LARGE})
        optimizer = ravine.torch.Adam([p], lr=0.01)
        optimizer.step()
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        interrupts = 0
        for _ in range(40):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 3e-3))
                while True: optimizer.step()
            except KeyboardInterrupt:
                interrupts += 1
            state = optimizer.state[p]
            for a in (p, state["exp_avg"], state["exp_avg_sq"]):
                x = a.detach().numpy()
                assert x.min() == x.max(), (x.min(), x.max())
            q = torch.nn.Parameter(torch.ones(3)); q.grad = torch.ones(3)
            other = ravine.torch.Adam([q], lr=0.01)
            for _ in range(int(state["step"])): other.step()
            assert other.state[q]["exp_avg"][0] == state["exp_avg"][0], "the count and the average disagree"
        print(interrupts)
    """)
    assert out.strip() == "40"


@pytest.mark.parametrize(("kind", "options"), [("Adam", {}), ("NAdam", {}), ("SGD", {"momentum": 0.9})])
def test_an_interrupt_at_any_line_loses_or_makes_a_whole_step(kind, options) -> None:
    """Ctrl-C in front of each line of the Python part in turn: no step is half made, and the next ones are right.

    One parameter has no gradient in step 1, so that the two are at different counts, and tables are made anew.
    """

    def made():
        params = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
        return params, getattr(ravine.torch, kind)(params, lr=0.1, **options)

    def give_gradients(params, step):
        for i, p in enumerate(params):
            p.grad = None if i == 1 and step == 1 else torch.full_like(p, 1.0 + step)

    def numbers(params, optimizer):
        return [t.flatten().tolist() for p in params for t in (p.detach(), *optimizer.state[p].values())]

    params, optimizer = made()
    after = []
    for step in range(6):
        give_gradients(params, step)
        optimizer.step()
        after.append(numbers(params, optimizer))
    for target in range(1, 5):
        line, was_interrupted = 0, True
        while was_interrupted:
            line += 1
            params, optimizer = made()
            for step in range(target):
                give_gradients(params, step)
                optimizer.step()
            give_gradients(params, target)
            was_interrupted = interrupted_at(line, optimizer.step)
            if numbers(params, optimizer) == after[target - 1]:
                optimizer.step()
            assert numbers(params, optimizer) == after[target], line
            give_gradients(params, target + 1)
            optimizer.step()
            assert numbers(params, optimizer) == after[target + 1], line


@pytest.mark.parametrize(
    ("kind", "options"), [("SGD", {"momentum": 0.9, "dampening": 0.5}), ("Adam", {}), ("RMSprop", {"centered": True})]
)
def test_an_interrupt_in_the_very_first_step_leaves_the_next_one_the_first(kind, options) -> None:
    """Though the state may be there already. SGD, which counts no steps, is different in the first."""

    def made():
        params = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
        return params, getattr(ravine.torch, kind)(params, lr=0.1, **options)

    def step(params, optimizer, number):
        for p in params:
            p.grad = torch.full_like(p, 1.0 + number)
        optimizer.step()

    def numbers(params, optimizer):
        return [t.flatten().tolist() for p in params for t in (p.detach(), *optimizer.state[p].values())]

    wanted = made()
    step(*wanted, 0)
    step(*wanted, 1)
    line, was_interrupted = 0, True
    while was_interrupted:
        line += 1
        params, optimizer = made()
        was_interrupted = interrupted_at(line, functools.partial(step, params, optimizer, 0))
        if params[0][0] == 1:
            step(params, optimizer, 0)
        step(params, optimizer, 1)
        assert numbers(params, optimizer) == numbers(*wanted), line


def interrupted_at(number: int, call) -> bool:
    """Call, with a KeyboardInterrupt before line `number` of those that run in Ravine. Returns whether it came."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if not frame.f_globals.get("__name__", "").startswith("ravine."):
            return None
        seen += event == "line"
        if event == "line" and seen == number:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("name", ["Adam", "SGD", "NAdam"])
def test_three_frames_between_step_and_the_arithmetic(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = nn.Parameter(torch.ones(4))
    p.grad = torch.ones(4)
    optimizer = getattr(ravine.torch, name)([p])
    optimizer.step()
    names: list[str] = []

    def arithmetic(*_: object) -> None:
        frame = sys._getframe(1)
        while frame.f_code is not Stepper.step.__code__ and frame.f_code.co_filename != __file__:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        assert frame.f_code.co_name == "step"

    monkeypatch.setattr(optimizer._plans[0].buckets[0][1].table.kernel, "run_alone", arithmetic)
    optimizer.step()
    assert 1 <= len(names) <= 3, names


@pytest.mark.parametrize("flush", [False, True])
def test_helpers_flush_subnormal_numbers_if_the_caller_does(flush: bool) -> None:
    """In a step whose result is subnormal everywhere, no element depends on the thread that computed it."""
    out = run(f"""
        import torch, ravine.torch
        torch.set_num_threads(2)
        p, q = (torch.nn.Parameter(torch.zeros({4 * LARGE})) for _ in range(2))
        p.grad = q.grad = torch.ones({4 * LARGE})
        optimizer, other = (ravine.torch.from_recipe([x], "momentum_ema", lr=1.0, beta=1 - 1e-7) for x in (p, q))
        other.step()
        q.data.zero_()
        if {flush}: assert torch.set_flush_denormal(True)
        for _ in range(5):
            p.grad = torch.full_like(p, 1e-33)
            optimizer.step()
            v = optimizer.state[p]["v"]
            print(v.numpy().view("uint32").min(), v.numpy().view("uint32").max())
    """)
    for line in out.splitlines():
        low, high = line.split()
        assert low == high
        assert (low == "0") is flush
