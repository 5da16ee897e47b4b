"""Rules that read more than one element at a time on the fused engine: the reference's bits, step-locked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import matrix_rules
import ravine
from family import MATRIX
from ravine.engines import stages
from ravine.engines.fused import frame, openmp, staged
from ravine.engines.fused.kernel import hyper_values
from ravine.engines.fused.staged import StagedTable
from ravine.engines.fused.storage import Storage
from ravine.math import ema, mean, norm, rms, sqrt, total, where
from ravine.rule import Rule, declare
from ravine.trace.graph import PRODUCTS

FAMILY = [ravine.rule(name) for name in MATRIX]


def multiplies(rule: Rule) -> bool:
    return any(n.op in PRODUCTS for n in rule.graph.nodes)


def every_way(x, g, m, row, col, *, t, lr=0.1, beta=0.9):
    """All reductions along all axes, of what is computed, of rows, columns, numbers; conditions of every shape."""
    m = ema(m, g * mean(g, axis=0) + total(x, axis=1), beta)
    row = ema(row, norm(m, axis=1) + rms(x - g, axis=1), beta)
    col = ema(col, where(rms(m, axis=0) > mean(col), rms(m, axis=0), total(x, axis=0)), beta)
    u = where(row > mean(row, axis=0), m, g * col) / (1 + norm(col, axis=1) + norm(row) * sqrt(rms(x)))
    return -lr * u * where(norm(u) > 1, 1 / norm(u), 1), m, row, col


RULES = [
    declare(every_way),
    *matrix_rules.REDUCING,
    *(r for r in FAMILY if not multiplies(r) and "adafactor_" not in r.name),
]
SHAPES = [
    (),
    (5,),
    (1100,),
    (4, 3),
    (3, 1100),
    (1, 70),
    (40, 1),
    (1, 1),
    (2, 3, 3, 3),
    (2060, 5),
    (3, 66000),
    (140000,),
]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.all((a == b) | ((a != a) & (b != b))))


def gradients(shape: tuple[int, ...], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [np.asarray(scale * rng.standard_normal(shape)).astype(dtype) for scale in (1.0, 1e-20, 0.0, 1e15, 1.0)]


def hold_to_the_reference(rule: Rule, dtype: str, shapes: Sequence[tuple[int, ...]], threads: int = 1) -> None:
    recipe = ravine.recipe(rule)
    names = [n for n, s in rule.slots.items() if not s.is_scalar]
    rng = np.random.default_rng(0)
    xs = [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in shapes]
    states = [recipe.init(x) for x in xs]
    all_gradients = [gradients(shape, dtype) for shape in shapes]
    for t in range(1, 1 + len(all_gradients[0])):
        got = [x.copy() for x in xs]
        slots = [{n: v.copy() for n, v in state.slots.items()} for state in states]
        gs = [own[t - 1] for own in all_gradients]
        addresses = [
            [a.ctypes.data for a in (x, g, *(s[n] for n in names))] for x, g, s in zip(got, gs, slots, strict=True)
        ]
        table = StagedTable(rule, Storage(dtype, dtype, (dtype,) * len(names)), shapes, addresses, no_products)
        table.step_at(float(t), (), hyper_values(rule, recipe.hyper), threads)
        for k, (x, g, state) in enumerate(zip(xs, gs, states, strict=True)):
            xs[k], states[k] = recipe.update(g, state, x)
            assert same(got[k], xs[k]), (shapes[k], t)
            assert all(same(slots[k][n], states[k].slots[n]) for n in names), (shapes[k], t)


def no_products(*_: object) -> None:
    raise AssertionError("there are none")


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_bits_of_the_reference(rule: Rule) -> None:
    hold_to_the_reference(rule, "float32", SHAPES)


@pytest.mark.parametrize("rule", [RULES[0], ravine.rule("lamb")], ids=lambda r: r.name)
def test_bits_of_the_reference_in_float64_and_of_stacks(rule: Rule) -> None:
    hold_to_the_reference(rule, "float64", SHAPES[:9])
    hold_to_the_reference(replace(rule, view="stack"), "float32", [(2, 3, 5), (2, 2, 4, 1), (3, 1, 4), (4,)])


@pytest.mark.parametrize("has_team", [True, False])
def test_threads_change_no_bit(has_team: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "WORTH_A_TEAM", 0)
    if not has_team:
        monkeypatch.setattr(openmp, "team", lambda: None)
    hold_to_the_reference(RULES[0], "float32", [(3, 66000), (2060, 260), (7,)], threads=3)


def test_a_stage_computes_what_its_time_allows() -> None:
    """LAMB: norms in a pass that writes the averages and keeps the direction, the ratio, then the step."""
    made = stages.cut(ravine.rule("lamb").graph)
    first, second, last = made.stages
    assert [(s.kind, s.shape) for s in first] == [(stages.ALL, ("r", "c"))]
    assert {n.op for n in first[0].reduced} == {"norm"}
    assert {key for key in first[0].targets if isinstance(key, str)} == {"m", "v"}
    assert [(s.kind, s.shape) for s in second] == [(stages.MAP, ("1", "1"))]
    assert [(s.kind, list(s.targets)) for s in last] == [(stages.MAP, ["x"])]
    assert len(stages.leaves(made, last[0])) == 3  # x, the direction, its length


def test_an_old_slot_is_not_written_over_while_somebody_reads_it() -> None:
    def late(x, g, m, *, lr=0.1, beta=0.9):
        """The step reads the old average, whose new value a norm needs."""
        new = ema(m, g, beta)
        return -lr * (m - g) * norm(new) * norm(m - g, axis=0), new

    made = stages.cut(declare(late).graph)
    assert all("m" not in s.targets for found in made.stages[:-1] for s in found)
    hold_to_the_reference(declare(late), "float32", [(5, 7), (3,)])


ELEMENTWISE = {
    "adam": "5b2e94fd9763fd5f",
    "adadelta": "786fdb7dcf67d0de",
    "nadam": "67161162ed98d6ab",
    "rprop": "6f9d422688c594e3",
    "lion": "9094038c824f29d3",
}
"""The digests of kernels' texts from before there were stages; a change of an equation changes its own."""


@pytest.mark.skipif(not frame.HAS_MODE or frame.YIELD != "sched_yield", reason="the text names what a processor has")
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_what_was_elementwise_compiles_to_what_it_was(name: str) -> None:
    rule = ravine.rule(name)
    arrays = sum(not s.is_scalar for s in rule.slots.values())
    slots, counts = ("bfloat16", *("float32",) * arrays)[:arrays], ("float32",) * (1 + len(rule.slots) - arrays)
    texts = [
        frame.source(rule, Storage("float32", "float32", ("float32",) * arrays, counts)),
        frame.source(rule, Storage("bfloat16", "float32", slots, is_stochastic=True, is_scaled=True)),
    ]
    assert hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] == ELEMENTWISE[name]
