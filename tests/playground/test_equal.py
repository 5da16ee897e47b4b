"""The generated JavaScript against the float64 reference, in a real browser: the page's own simulation, bit for bit."""

from __future__ import annotations

import base64
import hashlib
import itertools
from typing import Any

import numpy as np
import pytest

import matrix_rules
import ravine
from ravine import sums
from ravine.engines import reference
from ravine.playground import generate
from ravine.playground.bundle import bundle
from ravine.rule import Rule, declare
from ravine.simulate import PROBLEMS, SURFACES, Noise, Surface, run, surface
from ravine.transforms import clip_value, ema_weights, maximize, weight_decay

STEPS = 1_500
FEWER = 250
"""Steps on the surfaces over data, each of which is as long as a hundred others."""
EXACT = {name: s for name, s in SURFACES.items() if s.is_exact and name not in PROBLEMS}
INEXACT = {name: s for name, s in SURFACES.items() if not s.is_exact}


def odd(g: Any, a: Any, b: Any, total: Any, *, t: Any, lr: float = 0.01, beta: float = 0.7) -> Any:
    """A rule of somebody's own, with operations that the family does not combine, and slots that change places."""
    from ravine.math import abs, maximum, minimum, power, sign, sqrt, where

    total = minimum(total + power(beta, 3 * t), 1.5)
    size = where(abs(g) >= a, maximum(abs(g), b), sqrt(abs(g)))
    return -lr * sign(g) * size * total / (1 + size), b, abs(g), total


ODD = declare(odd, scalar=("total",), start={"total": 0.25})
RULES = {
    **{name: r for name, r in ravine.rules().items() if r.graph.is_elementwise},
    "odd": ODD,
    "weight_decay(rmsprop_nesterov)": weight_decay(ravine.rule("rmsprop_nesterov")),
    "clip_value(adam)": clip_value(ravine.rule("adam")),
    "maximize(nadam)": maximize(ravine.rule("nadam")),
    "ema_weights(adam)": ema_weights(ravine.rule("adam")),
}

MATRIX = {r.name: r for r in (*matrix_rules.REDUCING, *matrix_rules.MULTIPLYING)}
MATRIX |= {name: r for name, r in ravine.rules().items() if not r.graph.is_elementwise}
"""Rules that read more than one element at a time: a surface's point is a matrix of one column to them."""


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    text = bundle("model.js", {"generated.js": generate.module([*RULES.values(), *MATRIX.values()])})
    file = tmp_path_factory.mktemp("equal") / "page.html"
    script = f"<script>{text}\nwindow.ravine = {{ RULES, SURFACES, bindSurface, run, matrix }};</script>"
    file.write_text(f"<!doctype html><meta charset=utf-8>{script}", encoding="utf-8")
    browser.get(file.as_uri())
    browser.execute_script(HELPERS)
    return browser


HELPERS = """
window.bound = (surface, parameters) => {
  const usual = ravine.SURFACES.find((s) => s.name === surface).parameters.map((p) => p.value);
  return ravine.bindSurface({ surface, parameters: parameters ?? usual });
};
window.find = (name) => ravine.RULES.find((r) => r.name === name);
window.trajectory = (rule, surface, start, steps) => {
  const r = find(rule);
  const result = ravine.run(r, r.hyper.map((h) => h.value), bound(surface), start, steps);
  return [result.x, ...result.slots];
};
window.digest = async (arrays) => {  // of the bytes up to the last finite position
  const bytes = await new Blob(arrays).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (b) => b.toString(16).padStart(2, "0")).join("");
};
window.base64 = (array) => {
  let text = "";
  for (const byte of new Uint8Array(array.buffer)) text += String.fromCharCode(byte);
  return btoa(text);
};
"""


class Expected:
    """The trajectories of all rules on all surfaces by the reference; in lockstep, so that a surface's gradient is
    taken once a step for all rules, and a rule's update once for all surfaces."""

    def __init__(self, surfaces: dict[str, Surface], steps: int) -> None:
        self.columns, width = {}, 0
        for name, s in surfaces.items():
            self.columns[name], width = slice(width, width + s.dimension), width + s.dimension
        start = np.concatenate([np.asarray(s.start, dtype=float) for s in surfaces.values()])
        x = np.tile(start, (len(RULES), 1))
        rules = list(RULES.values())
        hyper = [r.check({}) for r in rules]
        slots = [r_slots(r, width) for r in rules]
        self.history = {
            name: [np.empty((steps + 1, width)), *(np.empty((steps + 1, np.size(v))) for v in first.values())]
            for name, first in zip(RULES, slots, strict=True)
        }
        for t in range(steps + 1):
            for i, record in enumerate(self.history.values()):
                record[0][t] = x[i]
                for array, value in zip(record[1:], slots[i].values(), strict=True):
                    array[t] = value
            points = np.stack([x[i] + r.look_ahead(slots[i], hyper[i]) for i, r in enumerate(rules)])
            g = np.empty_like(x)
            for name, s in surfaces.items():
                g[:, self.columns[name]] = s.gradient(points[:, self.columns[name]])
            for i, r in enumerate(rules):
                x[i], slots[i] = reference.step(r, x[i], g[i], slots[i], t + 1, hyper[i])

    def parts(self, rule: str, surface: str) -> list[Any]:
        """[x, *slots], each of shape (steps + 1, columns), NaN from where x is not finite any more."""
        width = self.history[rule][0].shape[1]
        parts = [np.array(h if h.shape[1] != width else h[:, self.columns[surface]]) for h in self.history[rule]]
        finite = np.isfinite(parts[0]).all(axis=1)
        for part in parts:
            part[len(part) if finite.all() else int(np.argmin(finite)) :] = np.nan
        return parts


def r_slots(rule: Rule, width: int) -> dict[str, Any]:
    return {n: s.start if s.is_scalar else np.full(width, s.start) for n, s in rule.slots.items()}


@pytest.fixture(scope="module")
def expected() -> Expected:
    return Expected({name: s for name, s in SURFACES.items() if name not in PROBLEMS}, STEPS)


def test_bit_for_bit_over_thousands_of_steps(page: Any, expected: Expected) -> None:
    assert_same_bits(page, expected, EXACT, STEPS)


def test_bit_for_bit_over_data(page: Any) -> None:
    assert all(s.is_exact for s in PROBLEMS.values())
    assert_same_bits(page, Expected(PROBLEMS, FEWER), PROBLEMS, FEWER)


BATCHED = """
const [rule, surface, parameters, start, steps, size, seed] = arguments;
const noise = { kind: "batches", level: size, seed };
const r = find(rule), h = r.hyper.map((k) => k.value);
const result = ravine.run(r, h, bound(surface, parameters), start, steps, noise);
return [result.x, result.gradients].map(base64);
"""


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_of_data_are_those_of_the_simulations(page: Any, size: int) -> None:
    """The same examples in the same order, in more than one epoch."""
    for name, parameters in (("petal_line", {"centred": 0.5}), ("rare_pixel", {})):
        chosen = surface(name, **parameters)
        texts = page.execute_script(
            BATCHED, "nesterov", name, list(parameters.values()), list(chosen.start), 400 // size + 40, size, 3
        )
        x, g = (np.frombuffer(base64.b64decode(text)).reshape(-1, 2) for text in texts)
        expected = run("nesterov", chosen, steps=400 // size + 40, noise=Noise("batches", size, seed=3))
        np.testing.assert_array_equal(x, expected.x)
        np.testing.assert_array_equal(g[1:], expected.gradient)


def assert_same_bits(page: Any, expected: Expected, surfaces: dict[str, Surface], steps: int) -> None:
    starts = {name: list(s.start) for name, s in surfaces.items()}
    got = page.execute_async_script(
        """const [rules, starts, steps, done] = arguments;
        (async () => {
          const digests = {};
          for (const r of rules)
            for (const s in starts) digests[r + " on " + s] = await digest(trajectory(r, s, starts[s], steps));
          done(digests);
        })();""",
        list(RULES),
        starts,
        steps,
    )
    different = []
    for r, s in itertools.product(RULES, surfaces):
        parts = expected.parts(r, s)
        digest = hashlib.sha256()
        for p in parts:
            digest.update(np.where(np.isnan(p), np.float64("nan"), p).tobytes())
        if digest.hexdigest() != got[f"{r} on {s}"]:
            different.append(f"{r} on {s}: {first_difference(page, r, s, starts[s], parts, steps)}")
    assert not different, "\n".join(different)


READING = {n: r for n, r in RULES.items() if r.read_out_function is not None}


@pytest.mark.parametrize("name", READING)
def test_what_is_evaluated_is_the_read_out_bit_for_bit(page: Any, name: str) -> None:
    got = page.execute_script(
        """const r = find(arguments[0]), surface = bound("oblong_bowl");
        const { evaluated } = ravine.run(r, r.hyper.map((h) => h.value / 8), surface, [-4, 1], 60);
        return [base64(evaluated.x), base64(evaluated.loss)];""",
        name,
    )
    x, loss = (np.frombuffer(base64.b64decode(text)) for text in got)
    hyper = {n: h.default / 8 for n, h in READING[name].hyperparameters.items()}
    found = run(READING[name], "oblong_bowl", start=(-4.0, 1.0), steps=60, **hyper).evaluated
    assert found is not None
    assert np.array_equal(x.reshape(-1, 2), found[0], equal_nan=True)
    assert np.array_equal(loss, found[1], equal_nan=True)
    assert np.array_equal(found[0][0], [-4, 1])
    assert np.isfinite(found[0]).all()


def first_difference(page: Any, rule: str, name: str, start: list[float], parts: list[Any], steps: int) -> str:
    found = page.execute_script(
        "const [r, s, start, steps] = arguments; return trajectory(r, s, start, steps).map(base64);",
        rule,
        name,
        start,
        steps,
    )
    for k, (text, p) in enumerate(zip(found, parts, strict=True)):
        q = np.frombuffer(base64.b64decode(text)).reshape(p.shape)
        wrong = np.flatnonzero(~((p == q) | (np.isnan(p) & np.isnan(q))).all(axis=1))
        if len(wrong):
            return f"output {k} from step {wrong[0]}: {q[wrong[0]]} in the browser, {p[wrong[0]]} in the reference"
    return "only in the bits of a NaN or the sign of a zero"


LOCKED = """
const [rule, surface, texts, widths] = arguments;
const r = find(rule), s = bound(surface), h = r.hyper.map((k) => k.value);
const parts = texts.map((t) => new Float64Array(Uint8Array.from(atob(t), (c) => c.charCodeAt(0)).buffer));
const row = (k, t) => parts[k].slice(t * widths[k], (t + 1) * widths[k]);
const bits = new BigInt64Array(1), double = new Float64Array(bits.buffer);
const order = (v) => { double[0] = v; return bits[0] < 0n ? -(bits[0] & 0x7fffffffffffffffn) : bits[0]; };
const g = new Float64Array(widths[0]), point = new Float64Array(widths[0]);
const worst = parts.map(() => 0);
for (let t = 0; (t + 1) * widths[0] < parts[0].length; t++) {
  const x = row(0, t), slots = parts.slice(1).map((_, k) => row(k + 1, t));
  if (r.ahead) r.ahead(x, slots, h, point); else point.set(x);
  s.gradient(point, g);
  r.step(x, g, slots, t + 1, h);
  [x, ...slots].forEach((found, k) => row(k, t + 1).forEach((v, i) => {
    const apart = Object.is(v, found[i]) || v !== v ? 0 : Number(order(v) - order(found[i]));
    worst[k] = Math.max(worst[k], Math.abs(apart));
  }));
}
return worst;
"""


def test_within_two_ulp_a_step_with_transcendental_functions(page: Any, expected: Expected) -> None:
    """Step-locked: each step starts from the reference's state, so an error can't grow, or hide in one that did."""
    pairs = list(itertools.product(RULES, INEXACT))
    worst = {}
    for r, s in pairs:
        parts = expected.parts(r, s)
        texts = [base64.b64encode(np.ascontiguousarray(p).tobytes()).decode() for p in parts]
        worst[f"{r} on {s}"] = page.execute_script(LOCKED, r, s, texts, [p.shape[1] for p in parts])
    assert pairs
    assert {name: w for name, w in worst.items() if max(w) > 2} == {}


@pytest.mark.parametrize("name", MATRIX)
def test_rules_of_more_than_one_element(page: Any, name: str) -> None:
    """Bit for bit where nothing is multiplied but numbers; a library's product of matrices may add in another order."""
    recipe = ravine.recipe(MATRIX[name])
    has_products = any(n.op in ("matmul", "newton_schulz") for n in recipe.rule.graph.nodes)
    for s in EXACT.values():
        got = page.execute_script(
            "const [r, s, start] = arguments; return trajectory(r, s, start, 60).map((a) => Array.from(a, String));",
            name,
            s.name,
            list(s.start),
        )
        x, state = np.asarray(s.start, dtype=float), recipe.init(np.asarray(s.start, dtype=float))
        rows = [[x, *map(np.ravel, state.slots.values())]]
        while len(rows) <= 60 and np.isfinite(x).all():
            x, state = recipe.update(s.gradient(x + recipe.look_ahead(state)), state, x)
            rows.append([x, *map(np.ravel, state.slots.values())])
        rows = [row for row in rows if np.isfinite(row[0]).all()]
        for text, wanted in zip(got, zip(*rows, strict=True), strict=True):
            found = np.array(text, dtype=float).reshape(61, -1)[: len(rows)]
            tolerance = {"rtol": 1e-9, "atol": 1e-12} if has_products else {"rtol": 0, "atol": 0}
            np.testing.assert_allclose(found, np.stack(wanted), **tolerance)


def test_the_order_of_a_sum(page: Any) -> None:
    numbers = np.random.default_rng(0).standard_normal(40_000) * 1e3
    for size in (10, 17, 5000, 40_000):
        got = page.execute_script("return String(ravine.matrix.sum(arguments[0]));", numbers[:size].tolist())
        assert float(got) == sums.with_numpy(numbers[:size])
