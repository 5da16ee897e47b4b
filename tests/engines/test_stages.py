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
from ravine.engines import products as engine_products
from ravine.engines import stages
from ravine.engines.fused import frame, openmp, staged
from ravine.engines.fused.kernel import hyper_values
from ravine.engines.fused.staged import StagedTable
from ravine.engines.fused.storage import Storage
from ravine.math import ema, matmul, mean, norm, orthogonalize, rms, sqrt, total, transpose, where
from ravine.rule import Rule, declare
from ravine.torch import products
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


BOUND = {"float32": 4e-6, "float64": 1e-14}
"""Of a step of Newton–Schulz: its products' rounding, times 3.4445⁵ = 485, by which small singular values grow."""

RULES = [
    declare(every_way),
    *matrix_rules.REDUCING,
    *(r for r in FAMILY if not multiplies(r)),
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


def hold_to_the_reference(
    rule: Rule, dtype: str, shapes: Sequence[tuple[int, ...]], threads: int = 1, bound: float = 0.0, **hyper: float
) -> None:
    """Step-locked: each step starts from the reference's parameters and state. The bound is relative to the largest
    element, or to 1."""
    multiply = products.multiplier("float32") if bound else no_products
    recipe = ravine.recipe(rule, **hyper)
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
        table = StagedTable(rule, Storage(dtype, dtype, (dtype,) * len(names)), shapes, addresses, multiply)
        table.step_at(float(t), (), hyper_values(rule, recipe.hyper), threads)
        for k, (x, g, state) in enumerate(zip(xs, gs, states, strict=True)):
            xs[k], states[k] = recipe.update(g, state, x)
            assert is_near(got[k], xs[k], bound), (shapes[k], t)
            assert all(is_near(slots[k][n], states[k].slots[n], bound) for n in names), (shapes[k], t)


def is_near(got: np.ndarray, wanted: np.ndarray, bound: float) -> bool:
    if same(got, wanted):
        return True
    if not np.isfinite(wanted).all():  # a product overflowed, in what order its library adds
        return bound > 0 and not np.isfinite(got).all()
    largest = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    return got.dtype == wanted.dtype and bool(np.abs(got - wanted).max() <= bound * largest)


def no_products(*_: object) -> None:
    raise AssertionError("there are none")


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_bits_of_the_reference(rule: Rule) -> None:
    hold_to_the_reference(rule, "float32", SHAPES)


@pytest.mark.parametrize("rule", [RULES[0], ravine.rule("lamb")], ids=lambda r: r.name)
def test_bits_of_the_reference_in_float64_and_of_stacks(rule: Rule) -> None:
    hold_to_the_reference(rule, "float64", [*SHAPES[:9], (2, 66000), (66000, 2), (140000,)])  # more than 64 blocks
    hold_to_the_reference(replace(rule, view="stack"), "float32", [(2, 3, 5), (2, 2, 4, 1), (3, 1, 4), (4,)])


@pytest.mark.parametrize("has_team", [True, False])
def test_threads_change_no_bit(has_team: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "WORTH_A_TEAM", 0)
    if not has_team:
        monkeypatch.setattr(openmp, "team", lambda: None)
    hold_to_the_reference(RULES[0], "float32", [(3, 66000), (2060, 260), (7,)], threads=3)


WITH_PRODUCTS = [(4, 3), (5,), (), (1, 7), (3, 40), (40, 3), (24, 130), (24, 130), (130, 24), (4, 2, 3, 3), (33, 34)]
"""Longer than twice as wide, so that the Gram matrix is iterated on, and not; some of one size."""

MULTIPLYING = [*matrix_rules.MULTIPLYING, *map(ravine.rule, ("muon", "normuon", "muonh", "muon_optax"))]


@pytest.mark.parametrize("rule", MULTIPLYING, ids=lambda r: r.name)
def test_products_are_within_their_bound(rule: Rule) -> None:
    """A step's elements are at most lr, so that the bound is of a matrix with singular values near 1."""
    hyper = {"lr": 1.0} if "lr" in rule.hyperparameters else {}
    hold_to_the_reference(rule, "float32", WITH_PRODUCTS, bound=BOUND["float32"], **hyper)
    stacked = replace(rule, view="stack")
    hold_to_the_reference(stacked, "float64", [(3, 4, 9), (3, 4), (2, 2, 4, 4)], bound=BOUND["float64"], **hyper)


def test_half_of_a_symmetric_product_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of equal and of unequal numbers of rows, mirrored at the diagonal, as large matrices are multiplied."""
    shapes = [(24, 130), (130, 24), (33, 34), (40, 60), (61, 40), (9, 4)]
    monkeypatch.setattr(engine_products, "STRIP", 8)
    for kind in ("float32", "float64"):
        hold_to_the_reference(ravine.rule("muon"), kind, shapes, bound=BOUND[kind], lr=1.0)


@pytest.mark.parametrize("steps", [0.0, 1.0, 2.0, 4.0, 7.0])
def test_any_number_of_newton_schulz_steps(steps: float) -> None:
    bound = 4 * BOUND["float64"]  # seven steps multiply small singular values by 3.4445⁷ = 5.8e3, five by 485
    hold_to_the_reference(ravine.rule("muon"), "float64", [(3, 20), (20, 3), (4, 5)], bound=bound, steps=steps, lr=1.0)


def test_what_is_multiplied_may_be_read_again() -> None:
    """Newton–Schulz works in the memory of what it is given, unless that is read behind it."""

    def twice(g, m, *, lr=0.1, beta=0.9):
        m = ema(m, g, beta)
        u = m / (norm(m) + 1e-7)
        return -lr * (orthogonalize(u) + matmul(matmul(u, transpose(u)), u) + u), m

    hold_to_the_reference(declare(twice), "float64", [(3, 20), (20, 3), (4, 4)], bound=BOUND["float64"])


def test_matrices_out_of_the_step_are_left_as_they_are() -> None:
    """Of a stack in work space those in the step are multiplied, in runs of neighbours."""
    rule = ravine.rule("muon")
    rng = np.random.default_rng(0)
    xs, gs, ms = ([rng.standard_normal((4, 9)).astype(np.float32) for _ in range(5)] for _ in range(3))
    before = [x.copy() for x in xs]
    addresses = [[a.ctypes.data for a in row] for row in zip(xs, gs, ms, strict=True)]
    kinds = Storage("float32", "float32", ("float32",))
    table = StagedTable(rule, kinds, [(4, 9)] * 5, addresses, products.multiplier("float32"))
    table.take([0, 2, 3])
    table.step_at(1.0, (), hyper_values(rule, ravine.recipe(rule).hyper), 1)
    assert [same(x, old) for x, old in zip(xs, before, strict=True)] == [False, True, False, False, True]


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


def test_a_slot_is_read_where_it_was_written() -> None:
    """Of wide state the new average is there; of state that is rounded it is kept beside."""
    graph = matrix_rules.REDUCING[1].graph
    wide, narrow = stages.cut(graph, wide=frozenset({"m"})), stages.cut(graph)
    assert graph.slots["m"] in wide.early
    assert graph.slots["m"] not in wide.kept
    assert graph.slots["m"] in narrow.kept
    for made in (wide, narrow):
        assert "m" in made.stages[0][0].targets
        assert graph.slots["m"] in stages.leaves(made, made.stages[-1][0])


def test_an_old_slot_is_not_written_over_while_somebody_reads_it() -> None:
    def late(x, g, m, *, lr=0.1, beta=0.9):
        """The step reads the old average, whose new value a norm needs."""
        new = ema(m, g, beta)
        return -lr * (m - g) * norm(new) * norm(m - g, axis=0), new

    made = stages.cut(declare(late).graph)
    assert all("m" not in s.targets for found in made.stages[:-1] for s in found)
    hold_to_the_reference(declare(late), "float32", [(5, 7), (3,)])


ELEMENTWISE = {
    "adam": "86a882a27f772f11",
    "adadelta": "a703ab4a8c9e0a65",
    "nadam": "a426a94778734220",
    "rprop": "8c8b3dd0aa0f59e4",
    "lion": "5b5011981c8893fb",
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


@pytest.mark.parametrize("rule", FAMILY, ids=lambda r: r.name)
def test_what_is_kept_comes_in_the_order_of_the_graph(rule):
    """In every process, so that machine code of another one is found in the cache."""
    made, number = stages.cut(rule.graph), {n: k for k, n in enumerate(rule.graph.nodes)}
    targets = [stage.targets for own in made.stages for stage in own]
    kept = [[number[key] for key, value in of.items() if key is value] for of in targets]
    assert sum(map(len, kept)) > 0
    assert all(own == sorted(own) for own in kept)
