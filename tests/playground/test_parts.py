"""The parts of the page that need no page: noise, operations on special values, the modules' text, the command."""

from __future__ import annotations

import itertools
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ravine
from ravine.cli import group
from ravine.engines import javascript
from ravine.engines.reference import step
from ravine.math import where
from ravine.playground import equations, family, generate, html, script
from ravine.playground.bundle import PAGE, bundle
from ravine.playground.presets import PRESETS
from ravine.playground.rate import rate
from ravine.rule import declare
from ravine.simulate.noise import KINDS, Noise
from ravine.simulate.problems import PETALS
from ravine.trace.graph import CUTS, OPERATIONS, evaluate, node

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -7.25, 5e-324, 1e308, -1e308, math.inf, -math.inf, math.nan]
WHOLE = (0.0, 1.0, 2.0, 3.0, 1000.0, 2.0**40)
BROKEN = (0.004, 0.5, 2.5, 999.996, -0.5, -3.0, 1e300)
ON_POWERS = [(b, e) for b in (0.9, 0.96, 0.999, 1.5, -0.5, 5e-324, 1e308) for e in WHOLE + BROKEN]
ON_POWERS += [(b, e) for b in (0.0, math.inf, math.nan) for e in BROKEN]


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op not in CUTS])
def test_each_operation_on_special_values(blank: Any, op: str) -> None:
    """Zeros with sign, infinities and NaN included, as NumPy computes them."""
    count = 3 if op == "where" else 1 if op in ("neg", "sqrt", "rough_inverse_cbrt", "abs", "sign") else 2
    if op == "where":
        cases: list[tuple[Any, ...]] = [(c, 2.0, -0.0) for c in (True, False)]
    else:
        cases = ON_POWERS if op == "power" else list(itertools.product(SPECIAL, repeat=count))
    leaves = [node("scalar", name=f"p{k}") for k in range(count)]
    names = {leaf: f"p[{k}]" for k, leaf in enumerate(leaves)}
    text = javascript.function("p", names, [node(op, *leaves)], "return {};")
    literals = ",".join("[" + ",".join(literal(v) for v in case) + "]" for case in cases)
    found = blank.execute_script(
        f"{javascript.RUNTIME} const f = {text};"
        f"return [{literals}].map(f).map((v) => Object.is(v, -0) ? '-0.0' : String(v));"
    )
    with np.errstate(all="ignore"):
        for case, got in zip(cases, found, strict=True):
            operands = case if op in ("power", "where") else [np.array([v]) for v in case]
            expected = np.asarray(OPERATIONS[op](*operands)).item()
            if isinstance(expected, bool):
                assert got == str(expected).lower(), case
                continue
            value = float(got.replace("Infinity", "inf"))
            same = value == expected or (math.isnan(value) and math.isnan(expected))
            # NumPy's maximum of 0 and −0 is either, by machine.
            signs = op in ("maximum", "minimum") or math.copysign(1, value) == math.copysign(1, expected)
            assert same, (case, got, expected)
            assert signs or math.isnan(value), (case, got, expected)


def literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else javascript.number(value)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_that_of_the_simulations(blank: Any, kind: str) -> None:
    found = blank.execute_script(
        bundle("noise.js")
        + """const [kind] = arguments, rows = [];
        for (const seed of [0, 7, 4294967295]) {
          const draw = NOISES[kind].sampler(0.3, seed);
          for (let t = 1; t <= 40; t++) rows.push([draw(t, 0), draw(t, 1)]);
        }
        return rows;""",
        kind,
    )
    samplers = [Noise(kind, 0.3, seed).sampler([0], 2) for seed in (0, 7, 4294967295)]
    expected = np.array([sample(t)[:, 0] for sample in samplers for t in range(1, 41)])
    if kind == "gaussian":  # made with log and cos
        np.testing.assert_array_max_ulp(np.array(found), expected, maxulp=4)
    else:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", sorted(p.name for p in PAGE.glob("*.js")))
def test_each_module_parses_alone(name: str, tmp_path: Path) -> None:
    node_command = shutil.which("node")
    if node_command is None:
        pytest.skip("needs node")
    copy = tmp_path / name.replace(".js", ".mjs")
    copy.write_text((PAGE / name).read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run([node_command, "--check", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_import_names_an_export() -> None:
    """The bundle drops imports, so that a name that is not there would be missed only when it is used."""
    texts = {p.name: p.read_text(encoding="utf-8") for p in PAGE.glob("*.js")}
    texts["generated.js"] = generate.module([])
    exported = {
        name: set(re.findall(r"^export (?:class|const|function) (\w+)", t, re.MULTILINE)) for name, t in texts.items()
    }
    for name, text in texts.items():
        for names, source in re.findall(r'^import \{([^}]*)\} from "\./([\w.]+)";', text, re.MULTILINE):
            wanted = set(re.findall(r"\w+", names))
            assert wanted <= exported[source], f"{name} imports {wanted - exported[source]} from {source}"
            for each in wanted:
                assert len(re.findall(rf"\b{each}\b", text)) > 1, f"{name} does not use {each}"


def test_the_bundle_orders_modules_and_drops_what_only_modules_have() -> None:
    text = bundle("a.js", {"a.js": 'import { b } from "./b.js";\nb();', "b.js": "export function b() {}\n"})
    assert text == "// b.js\nfunction b() {}\n\n// a.js\nb();\n"


def test_names_of_a_rule_never_become_code() -> None:
    made = declare(ravine.rule("adam").function, title="</script>\u2028`${alert(1)}`")
    text = generate.rule_object(made)
    assert "</script>" not in text
    assert "\u2028" not in text
    code = text[text.rindex('"lines"') :]
    functions = code[code.index("step: (") :]
    assert not re.search(r"\b(lr|beta1|beta2|eps)\b", functions)


@pytest.mark.parametrize("name", family())
def test_the_places_of_an_equation_have_values(name: str) -> None:
    """The numbers that the page fills in add up: the last line's value is x plus the step.

    Below it may stand what is evaluated then.
    """
    rule = ravine.rule(name)
    lines, nodes = equations.equation(rule)
    used = set(re.findall(r"'data-place': '(\d+)'", str([line["numbers"] for line in lines])))
    assert {int(k) for k in used} | {line["value"] for line in lines} == set(range(len(nodes)))
    *_, last, below = [*lines, None] if rule.read_out_graph is None else lines
    assert (below is None) == (rule.read_out_graph is None)
    last = nodes[last["value"]]
    assert last is node("add", node("array", name="x"), rule.graph.step)


def test_presets_name_what_exists() -> None:
    assert len({p.name for p in PRESETS}) == len(PRESETS)
    for preset in PRESETS:
        for field in preset.link.split("&"):
            key, _, value = field.partition("=")
            if key == "opt":
                name, *settings = value.split(",")
                ravine.recipe(name, **{k: float(v) for k, v in (s.split("=") for s in settings)})


def test_the_command_writes_the_page_with_a_rule_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from ravine import rule\n@rule(title='My very own')\ndef own(g, *, lr=0.1):\n    return -lr * g\n"
    )
    out = tmp_path / "page.html"
    result = CliRunner().invoke(group, ["playground", f"{tmp_path / 'own.py'}:own", "--out", str(out), "--no-open"])
    assert result.exit_code == 0, result.output
    assert str(out) in result.output.replace("\n", "")
    assert "My very own" in out.read_text(encoding="utf-8")
    assert "weight_decay(adam)" not in html()
    CliRunner().invoke(group, ["playground", "weight_decay(adam)", "--out", str(out), "--no-open"])
    assert '"name":"weight_decay(adam)"' in out.read_text(encoding="utf-8")
    assert '"title":"Adam, weight decay"' in out.read_text(encoding="utf-8")


def test_the_command_refuses_a_rule_that_is_not_there(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = CliRunner().invoke(group, ["playground", "adamm", "--out", str(out), "--no-open"])
    assert "did you mean 'adam'" in str(result.exception)
    assert not out.exists()


def test_the_script_of_the_notebook_exports_what_anywidget_wants() -> None:
    assert script("widget.js").rstrip().endswith("export default { render };")


ROUND_TRIP = """
const random = (() => { let z = 12345; return () => (z = (Math.imul(z, 1664525) + 1013904223) >>> 0) / 4294967296; })();
const pick = (list) => list[Math.floor(random() * list.length)];
const bad = [];
for (let k = 0; k < 500; k++) {
  const state = defaults();
  chooseSurface(state, pick([...SURFACES.map((s) => s.name), "formula"]));
  state.preset = pick(["", ...PRESETS.map((p) => p.name)]);
  if (state.surface === "formula") state.formula = pick(["x^2+y", "a & b = #c %20", "<b>é·√</b>", "x,y:z(1)"]);
  const other = (v) => (v > 0 ? random() * 10 ** pick([-5, 0, 5]) : 4 * random() - 2);
  state.parameters = state.parameters.map((v) => pick([v, other(v)]));
  state.start = [random() * 20 - 10, random() * 2 - 1];
  if (random() < 0.5) state.view = [-random(), random(), -random() * 1e-3, random() * 1e3];
  state.steps = pick([10, 10000, 777]);
  state.at = Math.floor(random() * state.steps);
  state.speed = pick([1, 1000, 12.5]);
  const kind = pick(["none", "gaussian", "heavy_tailed", "minibatch"]);
  if (kind !== "none") state.noise = { kind, level: random(), seed: pick([0, 7, 2 ** 31]) };
  const setting = (h) => pick([h.value, 0.5 * random() + 1e-9].filter((v) => legal(h, v)));
  for (let j = 0; j < pick([0, 1, 5, 24]); j++) {
    const rule = pick(RULES);
    state.optimizers.push({ rule: rule.name, hyper: rule.hyper.map(setting) });
  }
  state.selected = Math.floor(random() * Math.max(1, state.optimizers.length));
  state.coordinate = pick([0, 1]);
  state.map = pick([null, ["lr", "mu"]]);
  state.charts = state.charts.map(() => pick([{ what: "loss", log: true }, { what: "=m̂", log: false }]));
  state.arrows = pick([false, true]);
  state.relief = pick([null, { turn: 0, tilt: 5 }, { turn: 359, tilt: 90 }]);
  state.versus = pick([null, 0]);
  state.loop = pick([false, true]);
  state.hidden = pick([false, true]);
  state.theme = pick(["auto", "light", "dark"]);
  const { state: found, problems } = decode(encode(state));
  if (JSON.stringify(found) !== JSON.stringify(state) || problems.length) bad.push([encode(state), problems]);
}
return bad;
"""


def test_the_whole_state_survives_a_link(blank: Any) -> None:
    extra = ravine.rule("weight_decay(clip_value(adam))")  # brackets in a name
    text = bundle("link.js", {"generated.js": generate.module([*ravine.rules().values(), extra])})
    assert blank.execute_script(text + ROUND_TRIP) == []


GAINS = {
    "ademamix": lambda h, t: 1 + h["alpha"] * (1 - h["beta3"] ** t),
    "nesterov_torch_dampened": lambda h, t: 1 + h["mu"] * (1 - h["dampening"]) / (1 - h["mu"]),
    "madgrad": None,  # it is never at rest
    "rmsprop_torch_momentum_centered": None,  # nor this one for long, as its variance falls to zero
    "schedule_free_sgd": lambda h, t: 1 - h["beta"] / 2,  # the average follows at half the speed
    "schedule_free_adamw": lambda h, t: 1 - h["beta1"] / 2,
    "schedule_free_keras": lambda h, t: 1 - h["beta1"] / 2,
}
"""How many times the rescaled gradient a step is on an even slope, where that is not 1/(1−μ)."""


@pytest.mark.parametrize("name", family())
def test_a_rule_s_effective_rate_is_what_it_multiplies_a_direction_by(name: str) -> None:
    """Where gradients stay the same, and so the averages are at rest, step over gradient is it, axis by axis."""
    found = ravine.rule(name)
    if name in ("rprop", "rprop_optax"):  # whose steps are chosen by cases
        assert rate(found) is None
        return
    hyper = {n: h.default for n, h in found.hyperparameters.items()} | dict.fromkeys(["lambd", "weight_decay"], 0.0)
    hyper = {n: hyper[n] for n in found.hyperparameters}
    g, x = np.array([0.5, 0.05]), np.zeros(2)
    slots = {n: s.start if s.is_scalar else np.full(2, s.start) for n, s in found.slots.items()}
    steps = 600
    for t in range(1, steps + 1):
        before = {**slots, "x": x}
        x, slots = step(found, x, g, slots, t, hyper)
    (value,) = evaluate([rate(found)], {**hyper, **before, "t": steps, "g": g})
    gains = abs(x - before["x"]) / (value * g)
    assert gains[0] == pytest.approx(gains[1], rel=1e-4)
    usual = (1 - hyper.get("dampening", 0)) / (1 - hyper.get("mu", 0))
    gain = GAINS.get(name, lambda h, t: usual)
    assert gain is None or gains[0] == pytest.approx(gain(hyper, steps), rel=1e-2)


def test_an_effective_rate_reads_clipping_and_signs_and_is_none_for_cases() -> None:
    g, m = np.array([0.5, -0.05, 4.0]), np.array([0.1, -0.2, 0.3])
    inputs = {"g": g, "m": m, "v": np.array([0.01, 0.04, 0.25]), "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 0.0}
    (clipped,) = evaluate([rate(ravine.rule("adopt"))], inputs | {"t": 17})  # at 2, which are 2, 10 and 1/2 of these
    np.testing.assert_allclose(clipped, 0.1 / np.array([0.1, 0.2, 0.5]) * [0.4, 1, 0.25], rtol=1e-15)
    with np.errstate(invalid="ignore"):  # of the case that is not taken
        (still,) = evaluate([rate(ravine.rule("adopt"))], inputs | {"t": 1})
    assert list(still) == [0, 0, 0]
    (of_signs,) = evaluate([rate(ravine.rule("lion"))], inputs)
    np.testing.assert_allclose(of_signs, 0.1 / abs(0.9 * m + 0.1 * g), rtol=1e-15)

    @declare
    def by_cases(g, *, lr=0.1):  # type: ignore[no-untyped-def]
        return where(g > 1, -lr, -lr * g)

    assert rate(by_cases) is None


def test_theory_of_a_quadratic_is_that_of_the_rule_s_own_matrix(blank: Any) -> None:
    text = bundle("map.js", {"generated.js": generate.module(family().values())})
    found = blank.execute_script(
        text
        + """return arguments[0].map(([name, settings, h]) => {
          const rule = RULES.find((r) => r.name === name);
          return theory(rule, rule.hyper.map((knob) => settings[knob.name] ?? knob.value), h);
        });""",
        cases := [
            *(("gd", {"lr": lr}, 20.0) for lr in (0.01, 0.09, 0.11)),
            *(
                ("momentum", {"lr": lr, "mu": mu}, h)
                for lr in (0.01, 0.15, 0.3)
                for mu in (0.0, 0.5, 0.9)
                for h in (1.0, 9.0)
            ),
            *(("nesterov", {"lr": 0.05, "mu": mu}, h) for mu in (0.1, 0.9) for h in (1.0, 20.0)),
            *(("momentum_ema", {"lr": 0.3, "beta": 0.9}, h) for h in (1.0, 20.0)),
            *((name, {}, 1.0) for name in ("adam", "rmsprop", "lion", "adagrad", "rmsprop_momentum")),
        ],
    )
    for (name, given, h), got in zip(cases, found, strict=True):
        lr, mu = given.get("lr", 0.0), given.get("mu", given.get("beta", 0.0))
        matrices = {
            "gd": [[1 - lr * h]],
            "momentum": [[1 - lr * h, mu], [-lr * h, mu]],
            "nesterov": [[1 - lr * h, mu * (1 - lr * h)], [-lr * h, mu * (1 - lr * h)]],
            "momentum_ema": [[1 - lr * (1 - mu) * h, -lr * mu], [(1 - mu) * h, mu]],
        }
        if name not in matrices:
            assert got is None, name
            continue
        roots = np.linalg.eigvals(np.array(matrices[name]))
        assert got["factor"] == pytest.approx(np.abs(roots).max(), rel=1e-9), (name, given, h)
        assert got["swings"] == bool(np.iscomplex(roots).any())
        assert got["regime"].endswith("and grows") == (np.abs(roots).max() > 1)


def test_the_axes_of_quadratics_are_found_and_of_nothing_else(blank: Any) -> None:
    text = bundle("model.js", {"generated.js": generate.module([])})
    found = blank.execute_script(
        text
        + """return SURFACES.map((s) => {
          const parameters = s.parameters.map((p) => (p.name === "tilt" ? 1 : p.value));
          return [s.name, quadraticOf(bindSurface({ surface: s.name, parameters }))];
        });"""
    )
    quadratics = {name: q for name, q in found if q is not None}
    assert list(quadratics) == ["oblong_bowl", "petal_line"]
    axes = quadratics["oblong_bowl"]["axes"]
    assert [a["curvature"] for a in axes] == pytest.approx([1, 20])
    assert np.abs(axes[0]["vector"]) == pytest.approx([0.5**0.5] * 2)
    assert quadratics["oblong_bowl"]["center"] == [0, 0]
    length, width, _ = PETALS.T
    line = np.stack([length, np.ones_like(length)], axis=1)
    wanted = np.linalg.eigvalsh(line.T @ line / len(line))
    assert [a["curvature"] for a in quadratics["petal_line"]["axes"]] == pytest.approx(wanted)
    assert quadratics["petal_line"]["center"] == pytest.approx(np.linalg.lstsq(line, width, rcond=None)[0])


def test_a_gif_of_the_page_is_read_back_by_another_program(blank: Any) -> None:
    """Three frames of noise, of a gradient and of one colour: as many codes as LZW has, and tables that fill."""
    import io

    image = pytest.importorskip("PIL.Image", reason="reads the GIF")
    found = blank.execute_script(
        bundle("gif.js")
        + """const [w, h] = [150, 90];
        let z = 1;
        const noise = () => (z = (Math.imul(z, 1664525) + 1013904223) >>> 0) >>> 24;
        const frame = (color) =>
          Uint8ClampedArray.from({ length: 4 * w * h }, (_, k) => (k % 4 === 3 ? 255 : color(k)));
        const gray = Uint8Array.from({ length: w * h }, noise);
        const frames = [
          frame((k) => gray[k >> 2] & 0xf8), frame((k) => (((k >> 2) % w) * 255 / w) & 0xf8), frame(() => 64)];
        return [[...encodeGif(frames, w, h, [5, 6, 70])], frames.map((f) => [...f])];"""
    )
    with image.open(io.BytesIO(bytes(found[0]))) as film:
        assert (film.size, film.n_frames) == ((150, 90), 3)
        for k, (frame, delay) in enumerate(zip(found[1], (50, 60, 700), strict=True)):
            film.seek(k)
            got = np.asarray(film.convert("RGBA"), dtype=int).reshape(-1)
            assert film.info["duration"] == delay
            assert np.abs(got - np.array(frame)).max() <= 7  # five bits a channel
