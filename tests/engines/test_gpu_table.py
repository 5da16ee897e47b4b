"""Launches of the GPU's table on a stand-in for NVIDIA's library: buckets, bytes, streams, captures, scales, counts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import ravine
from ptx.cuda import Cuda, HostDevice
from ptx.hold import Held, same, storage_of
from ravine.engines.fused.kernel import Table, hyper_values
from ravine.engines.fused.storage import Storage
from ravine.engines.gpu import device, driver
from ravine.engines.gpu.target import LARGE, SMALL, why_not

MANY = tuple((1 + k % 5, 0) for k in range(700))


@pytest.mark.parametrize(("version", "launches", "most"), [((12, 0), 2, SMALL), ((12, 1), 1, LARGE)])
def test_one_launch_takes_as_many_tensors_as_the_driver_allows(
    version: tuple[int, int], launches: int, most: int
) -> None:
    rule = ravine.rule("momentum")
    held = Held(rule, storage_of(rule, "float32"), sizes=MANY, version=version).steps(1)
    started = [launch for launch in held.cuda.launches if launch.name == "run"]
    assert [len(started), *{sum(map(len, launch.parameters)) <= most for launch in started}] == [launches, True]
    assert sum(launch.grid for launch in started) == len(MANY)


def test_a_step_copies_nothing_to_the_device() -> None:
    rule = ravine.rule("adam")
    held = Held(rule, storage_of(rule, "float32"))
    uploads = held.device.uploads
    for t in range(1, 4):
        held.step(t)
    assert held.device.uploads == uploads
    assert [launch.name for launch in held.cuda.launches] == ["run"] * 3


def test_the_last_of_more_than_two_to_the_31_elements() -> None:
    """Only the last block of such a tensor is run, and only its memory is there."""
    rule = ravine.rule("momentum")
    length, tail = (1 << 31) + 37, 37
    held = Held(rule, storage_of(rule, "float32", scalars=()), sizes=((tail, 0),))
    tensors = held.tensors[0]
    places = [a.data_ptr() - 4 * (length - tail) for a in (tensors.x, tensors.g, *tensors.slots)]
    table = held_table(rule, held.storage, [length], [places], held.cuda)
    table._ends = [table._ends[-1] - 1, table._ends[-1]]
    tensors.g.fill_(1.0)
    wanted = tensors.x - 0.5
    table.step_at(1.0, (), (0.5, 0.9))
    assert same(tensors.x, wanted)


def test_the_seeds_of_rounding_come_with_the_launch_and_are_the_cpus() -> None:
    rule = ravine.rule("adamw")
    storage = storage_of(rule, "bfloat16", scalars=(), is_stochastic=True)
    lengths = [5, 131, 1030]
    torch.manual_seed(0)
    cuda = Cuda()
    gpu_arrays = [[torch.randn(n).bfloat16() for _ in range(4)] for n in lengths]
    for four in gpu_arrays:
        four[3].abs_()
        for a in four:
            cuda.memory.own(a.data_ptr(), a.nbytes)
    cpu_arrays = [[a.clone() for a in four] for four in gpu_arrays]
    places = [[[a.data_ptr() for a in four] for four in side] for side in (gpu_arrays, cpu_arrays)]
    gpu = held_table(rule, storage, lengths, places[0], cuda)
    cpu = Table(rule, storage, lengths, places[1])
    hyper = hyper_values(rule, {n: h.default for n, h in rule.hyperparameters.items()})
    for t in range(1, 4):
        seeds = [t * 0x9E3779B1 % 2**32, 7, 2**32 - t]
        gpu.set_seeds(seeds)
        cpu.set_seeds(seeds)
        gpu.step_at(float(t), (), hyper)
        cpu.step_at(float(t), (), hyper, 1)
    for got, wanted in zip(gpu_arrays, cpu_arrays, strict=True):
        assert all(same(a, b) for a, b in zip(got, wanted, strict=True))


def held_table(rule, storage, lengths, places, cuda):
    from ravine.engines.gpu.table import GpuTable

    return GpuTable(rule, storage, lengths, places, HostDevice(cuda))


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float64"])
def test_a_grad_scaler_is_obeyed_on_the_device(kind: str) -> None:
    """Gradients are left divided; where one was infinite nothing moves and nothing is counted."""
    rule = ravine.rule("nadam")
    held = Held(rule, storage_of(rule, kind, is_scaled=True), sizes=((37, 0), (260, 0), (0, 0)), has_counts=True)
    scale, found = held.array(1, "float32").fill_(1024.5), held.array(1, "float32")
    held.table.set_scaler(scale.data_ptr(), found.data_ptr())
    held.step(1, scale=1024.5)
    before = [a.clone() for t in held.tensors for a in (t.x, t.g, *t.slots, *t.counts)]
    found.fill_(1.0)
    held.table.step(hyper_values(rule, {n: h.default for n, h in rule.hyperparameters.items()}))
    assert all(map(same, before, [a for t in held.tensors for a in (t.x, t.g, *t.slots, *t.counts)]))
    found.fill_(0.0)
    scaled = held.tensors[1].g.clone()
    held.step(2, scale=1024.5)
    assert not same(held.tensors[1].g, scaled)
    assert [t.counts[0].item() for t in held.tensors] == [2.0] * 3


def test_a_learning_rate_that_lies_on_the_device_is_read_there() -> None:
    rule = ravine.rule("gd")
    for kind, is_wide in (("float32", False), ("float64", True)):
        held = Held(rule, storage_of(rule, "float64"), sizes=((5, 0),), has_counts=True)
        rate = held.array(1, kind).fill_(0.25)
        tensors = held.tensors[0]
        wanted = tensors.x.clone()
        for factor in (1.0, 0.5):
            rate.fill_(0.25 * factor)
            tensors.g.fill_(2.0)
            wanted -= 0.25 * factor * 2
            held.table.set_gradients([tensors.g.data_ptr()])
            held.table.step(((rate.data_ptr(), is_wide),))
            assert same(tensors.x, wanted)


def test_what_is_captured_is_a_step_at_every_replay() -> None:
    """Counts and rates go on in a graph: three replays are three steps, at the gradients that then lie there."""
    rule = ravine.rule("adam")
    held = Held(rule, storage_of(rule, "float32"), sizes=((37, 0), (130, 1)), has_counts=True)
    held.step(1)
    for tensors in held.tensors:
        tensors.g.fill_(0.5)
    hyper = hyper_values(rule, {n: h.default for n, h in rule.hyperparameters.items()})
    held.device.current = 7
    held.cuda.capturing.add(7)
    held.table.step(hyper)
    held.cuda.capturing.clear()
    assert [launch.name for launch in held.cuda.captured] == ["prepare", "run"]
    assert {launch.stream for launch in held.cuda.captured} == {7}
    assert held.device.used_on == [7]
    assert held.tensors[0].counts[0].item() == 1.0
    values = {n: h.default for n, h in rule.hyperparameters.items()}
    for t in range(2, 5):
        wanted = [held.wanted(tensors, t, values, None) for tensors in held.tensors]
        held.cuda.replay()
        for tensors, (x, slots, _) in zip(held.tensors, wanted, strict=True):
            assert same(tensors.x, x)
            assert all(map(same, tensors.slots, slots))
            assert tensors.counts[0].item() == t


def test_nothing_is_made_in_a_capture() -> None:
    rule = ravine.rule("adam")
    cuda = Cuda()
    dev = HostDevice(cuda)
    dev.current = 3
    cuda.capturing.add(3)
    with pytest.raises(RuntimeError, match="take a step before the capture begins"):
        dev.function("", "run")
    held = Held(rule, storage_of(rule, "float32"), sizes=((5, 0),))
    held.cuda.capturing.add(0)
    with pytest.raises(RuntimeError, match="take a step before the capture begins"):
        held.table.set_addresses([t.addresses() for t in held.tensors])


def test_counts_on_the_host_cannot_be_captured() -> None:
    rule = ravine.rule("adam")
    held = Held(rule, storage_of(rule, "float32"), sizes=((5, 0),))
    held.cuda.capturing.add(0)
    with pytest.raises(RuntimeError, match="capturable=True"):
        held.table.step(hyper_values(rule, {n: h.default for n, h in rule.hyperparameters.items()}))


def test_a_kernel_is_loaded_once_for_each_device_and_launched_there() -> None:
    rule = ravine.rule("momentum")
    cuda = Cuda()
    for index in (0, 1):
        a = [torch.zeros(4) for _ in range(3)]
        for tensor in a:
            cuda.memory.own(tensor.data_ptr(), tensor.nbytes)
        storage = Storage("float32", "float32", ("float32",))
        dev = HostDevice(cuda, index)
        from ravine.engines.gpu.table import GpuTable

        for _ in range(2):
            table = GpuTable(rule, storage, [4], [[t.data_ptr() for t in a]], dev)
            table.step_at(1.0, (), (0.01, 0.9))
    assert [launch.device for launch in cuda.launches] == [0, 0, 1, 1]
    assert len(cuda._texts) == 4  # run and prepare, for each device


def test_what_the_driver_refuses_is_said_in_its_words() -> None:
    held = Held(ravine.rule("gd"), storage_of(ravine.rule("gd"), "float32"), sizes=((5, 0),))
    with pytest.raises(driver.DriverError, match=r"cuModuleGetFunction.*there is no entry absent"):
        held.device.driver.load(0, ".version 7.0\n.target sm_70\n", "absent")


def test_old_cards_and_drivers_are_named() -> None:
    assert "a driver for CUDA 11.0 is needed" in why_not((9, 0), (10, 2))
    assert "compute capability 6.1, and 7.0 (Volta) is needed" in why_not((6, 1), (12, 4))
    assert why_not((7, 0), (11, 0)) == ""


def test_without_a_driver_there_is_a_reason() -> None:
    script = (
        "from ravine.engines.gpu import device, driver; driver.LIBRARY = 'libno-such-driver.so'\n"
        "print(device.device(0))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "there is no NVIDIA driver (libno-such-driver.so can't be loaded)\n"


@pytest.mark.parametrize(("value", "off"), [("off", True), ("OFF", True), ("0", True), ("", False), ("on", False)])
def test_the_switch(monkeypatch: pytest.MonkeyPatch, value: str, off: bool) -> None:
    monkeypatch.setenv(device.SWITCH, value)
    assert device.is_off() is off


def test_an_empty_table_launches_nothing() -> None:
    rule = ravine.rule("adam")
    held = Held(rule, storage_of(rule, "float32"), sizes=((0, 0), (0, 0))).steps(1)
    assert held.cuda.launches == []
    assert np.array_equal([t.counts[0].item() for t in held.tensors], [1.0, 4.0])
