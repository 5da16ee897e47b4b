"""What the page knows about rules, surfaces and presets, as the text of a JavaScript module.

Data goes in as JSON, equations as functions that the JavaScript engine wrote; no name ever becomes code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from ravine import palette
from ravine.dialects.order import sign_handed_on
from ravine.engines import javascript, javascript_matrix
from ravine.engines.javascript_matrix import power
from ravine.hyperparameter import Hyperparameter
from ravine.playground import equations
from ravine.playground.presets import BASIC, GROUPS, Preset
from ravine.playground.rate import rate
from ravine.recipe import recipe
from ravine.rule import Rule
from ravine.simulate import SURFACES, Surface, exponential
from ravine.simulate.examples import WANTED, Examples
from ravine.simulate.surface import COORDINATES, SurfaceGraph
from ravine.trace import definitions
from ravine.trace.graph import Node, node, topological
from ravine.trace.text import TextPrinter


def module(rules: Iterable[Rule]) -> str:
    """The module generated.js: RULES, SURFACES, PALETTE and PRESETS."""
    return "\n".join(
        [
            javascript.RUNTIME,
            javascript_matrix.RUNTIME,
            exponential.JAVASCRIPT,
            f"export const RULES = {_list(rule_object(r) for r in rules)};\n",
            f"export const SURFACES = {_list(surface_object(s) for s in SURFACES.values())};\n",
            f"export const PALETTE = {palette_object()};\n",
            f"export const PRESETS = {_list(preset_object(p, of) for of, those in GROUPS.items() for p in those)};\n",
        ]
    )


def rule_object(rule: Rule) -> str:
    """A rule as a JavaScript object: what it is called and looks like, its knobs, slots, functions and equation."""
    color, dash = palette.style(rule.name)
    shown, nodes = equations.equation(rule)
    data = {
        "name": rule.name,
        "title": ", ".join([rule.title, *(name.replace("_", " ") for name in reversed(rule.transforms))]),
        "paper": rule.paper,
        "summary": rule.summary,
        "basic": rule.name in BASIC,
        "color": color,
        "dash": dash,
        "hyper": [_knob(name, h) for name, h in rule.hyperparameters.items()],
        "slots": [
            {"name": name, "symbol": equations.symbol(name), "start": slot.start, "power": power(new.shape)}
            for (name, slot), new in zip(rule.slots.items(), rule.graph.slots.values(), strict=True)
        ],
        "lines": [line | {"name": name} for line, name in zip(shown, _names(rule), strict=True)],
        "momentum": _momentum(rule),
    }
    engine: Any = javascript if rule.graph.is_elementwise else javascript_matrix
    effective = rate(rule)
    code = {
        "step": engine.step(rule),
        "ahead": javascript.look_ahead(rule) or "null",
        "readOut": javascript.read_out(rule) or "null",
        "values": engine.values(rule, nodes),
        "rate": "null" if effective is None else engine.values(rule, [effective]),
    }
    return _object(data, code)


def _momentum(rule: Rule) -> dict[str, int] | None:
    """Which slot is a rule's momentum, and whether it points along the step (1) or against it (−1)."""
    for k, name in enumerate(rule.slots):
        if sign := sign_handed_on(recipe(rule), name):
            return {"slot": k, "sign": sign}
    return None


def _names(rule: Rule) -> list[str]:
    """What the lines of a rule's equation define, as text: m, m̂, v, v̂, x."""
    names = [left.replace("ₜ", "") for left, _ in definitions.equation(rule, TextPrinter())]
    return names if rule.read_out_graph is None else [*names, "evaluated"]


def surface_object(surface: Surface) -> str:
    """A surface as a JavaScript object; its functions take a point and the list of its parameters."""
    assert surface.graph is not None
    data = {
        "name": surface.name,
        "title": surface.title,
        "summary": surface.summary,
        "dimensions": surface.dimension,
        "view": surface.view,
        "start": surface.start,
        "minima": surface.minima,
        "minimum": surface.minimum,
        "parameters": [{"name": name, "value": value} for name, value in surface.parameters.items()],
    }
    inputs = {node("array", name=name): f"p[{k}]" for k, name in enumerate(COORDINATES)}
    inputs |= {node("scalar", name=name): f"q[{k}]" for k, name in enumerate(surface.parameters)}
    if surface.examples is not None:
        return _object(data | _about(surface.examples), _over_examples(surface.graph, surface.examples, inputs))
    store = " ".join(f"out[{k}] = {{}};" for k in range(surface.dimension))
    code = {
        "value": javascript.function("p, q", inputs, [surface.graph.value], "return {};"),
        "gradient": javascript.function("p, q, out", inputs, surface.graph.gradient, store),
    }
    return _object(data, code)


def _about(examples: Examples) -> dict[str, Any]:
    data = {
        "title": examples.title,
        "inputs": list(examples.inputs.values()),
        "wanted": examples.wanted,
        "classes": examples.classes,
        "rows": examples.rows.tolist(),
    }
    return {"examples": data}


def _over_examples(graph: SurfaceGraph, examples: Examples, inputs: dict[Node, str]) -> dict[str, str]:
    """The functions of a surface that is a mean over examples, in their order; `rows` are the numbers of some of them.

    What belongs to no example is computed once. `output` is the model's for the inputs d.
    """
    columns = {node("array", name=name): f"d[{k}]" for k, name in enumerate([*examples.inputs, WANTED])}

    def mean(parameters: str, outputs: tuple[Node, ...], result: str) -> str:
        within = set(columns)
        for n in topological(outputs):
            within |= {n} if within & set(n.args) else set()
        outside = javascript.Block(inputs, "b")
        outside.compute(a for n in topological(outputs) if n in within for a in n.args if a not in within)
        each = javascript.Block(outside.names | columns, "a")
        each.compute(outputs)
        sums = [f"s{k}" for k in range(len(outputs))]
        body = [
            *outside.lines,
            *(f"let {name} = 0;" for name in sums),
            "const n = rows ? rows.length : data.length;",
            "for (let j = 0; j < n; j++) {",
            "  const d = data[rows ? rows[j] : j];",
            *(f"  {line}" for line in each.lines),
            *(f"  {name} += {each.names[n]};" for name, n in zip(sums, outputs, strict=True)),
            "}",
            result.format(*(f"{name} / n" for name in sums)),
        ]
        return javascript.text_of_function(parameters, body)

    return {
        "value": mean("p, q, data, rows = null", (graph.value,), "return {};"),
        "gradient": mean("p, q, out, data, rows = null", graph.gradient, "out[0] = {}; out[1] = {};"),
        "output": javascript.function("p, q, d", inputs | columns, [examples.output], "return {};"),
    }


def palette_object() -> str:
    """The colours, each with the one that stands for it on a dark ground, and the dashes."""
    dark = {color: palette.DARK[name] for name, color in palette.COLORS.items()}
    return to_json({"dark": dark, "dashes": palette.DASHES})


def preset_object(preset: Preset, group: str) -> str:
    return to_json({**preset._asdict(), "group": group})


def to_json(value: Any) -> str:
    """JSON that is also safe inside a script element: a text in it can't end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _knob(name: str, h: Hyperparameter) -> dict[str, Any]:
    return {
        "name": name,
        "symbol": equations.symbol(name),
        "value": h.default,
        "low": h.range.low if math.isfinite(h.range.low) else None,
        "high": h.range.high if math.isfinite(h.range.high) else None,
        "lowOpen": h.range.low_open,
        "highOpen": h.range.high_open,
        "legal": str(h.range),
    }


def _object(data: dict[str, Any], code: dict[str, str]) -> str:
    functions = "".join(f",\n{name}: {text}" for name, text in code.items())
    return "{..." + to_json(data) + functions + "}"


def _list(items: Iterable[str]) -> str:
    return "[\n" + ",\n".join(items) + "\n]"
