"""Coefficients and new scalars as machine code computes them for each tensor: the bits of the function in Python."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import numpy as np
import pytest

import ravine
from family import ELEMENTWISE
from ravine.engines.fused import scalars
from ravine.engines.fused.kernel import Kernel, Table, coefficients, hyper_values
from ravine.engines.fused.storage import Storage
from ravine.rule import Rule

COUNTS = (0, 1, 4, 5, 6, 1_000, 16_777_215, 1 << 40)


def table(of: Rule, kind: str, counts: list[tuple[float, ...]]) -> tuple[Table, Any]:
    """A table of empty tensors whose scalars are these, and the memory of those."""
    slots = [n for n, s in of.slots.items() if not s.is_scalar]
    numbers = np.array(counts)
    storage = Storage(kind, kind, (kind,) * len(slots), ("float64",) * numbers.shape[1])
    places = numbers.ctypes.data + 8 * np.arange(numbers.size).reshape(numbers.shape)
    addresses = np.hstack([np.zeros((len(counts), 2 + len(slots)), np.int64), places])
    return Table(of, storage, [0] * len(counts), addresses), numbers


def found(t: Table) -> tuple[list[list[float]], list[list[float]]]:
    """A row a tensor of what was prepared."""
    which = t.rows[:, 1]
    return t._c[which].tolist(), t._scalars[which].tolist()


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_they_have_pythons_bits(name: str, kind: str) -> None:
    of = ravine.rule(name)
    hyper = hyper_values(of, {n: h.default for n, h in of.hyperparameters.items()})
    starts = [s.start for s in of.slots.values() if s.is_scalar]
    for factor in (1.0, 0.9173):
        t, numbers = table(of, kind, [(float(n), *(0.7 * s for s in starts)) for n in COUNTS])
        values = tuple(h * factor for h in hyper)
        t.set_hyper(values)
        assert t.kernel.prepare(*t._prepare_arguments)
        wanted = [coefficients(of).evaluate(n + 1.0, rest, *values) for n, *rest in numbers.tolist()]
        number = ctypes.c_float if kind == "float32" else ctypes.c_double
        assert found(t) == (
            [[number(v).value for v in row] for row, _ in wanted],
            [[n + 1.0, *new] for n, (_, new) in zip(COUNTS, wanted, strict=True)],
        )


def test_quotients_of_powers() -> None:
    """Whole and other exponents; what divides by zero is left to Python."""

    @ravine.rule(title="Powers")
    def powers(g: Any, *, t: Any, base: float = 0.5, exponent: float = 2.0) -> Any:
        """A quotient."""
        return -(1.0 / (1.0 - ravine.math.power(base, exponent))) * g

    bases, exponents = (0.0, 0.3, 1.0, 1.7, -0.5, 1e200), (0.0, 1.0, 0.5, 7.0, -2.0, -0.3, 63.0, 2.5, 1e15)
    t = Table(powers, Storage("float64", "float64", ()), [0], [[0, 0]])
    for base, exponent in itertools.product(bases, exponents):
        t.set_hyper((base, exponent))
        is_finite = t.kernel.prepare(*t._prepare_arguments)
        try:
            wanted = list(coefficients(powers).evaluate(2.0, (), base, exponent)[0])
        except ZeroDivisionError:
            wanted = [np.nan]
        assert is_finite is bool(np.isfinite(wanted).all())
        assert not is_finite or t._c[0].tolist() == wanted, (base, exponent)


def test_tensors_that_are_left_out_have_none() -> None:
    of = ravine.rule("adam")
    t, numbers = table(of, "float64", [(4.0,), (2.0,), (4.0,), (9.0,)])
    t.take([0, 2])
    t.step(hyper_values(of, {n: h.default for n, h in of.hyperparameters.items()}), 1)
    assert numbers.tolist() == [[5.0], [2.0], [5.0], [9.0]]
    assert t.rows[:, 1].tolist() == [0, -1, 0, -1]  # neighbours among those that are taken have one row


def test_a_kernel_without_scalars_in_memory_has_no_need_of_it() -> None:
    nadam = ravine.rule("nadam")
    assert scalars.functions(nadam, Storage("float32", "float32", ("float32",) * 2)) == []
    assert isinstance(
        Table(nadam, Storage("float32", "float32", ("float32",) * 2), [], np.empty((0, 4))).kernel, Kernel
    )
