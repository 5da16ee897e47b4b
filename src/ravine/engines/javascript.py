"""JavaScript: a rule's graph, or any expressions, as source text that computes in float64 what the reference computes.

JavaScript's numbers are IEEE doubles and its + − × ÷ √ are correctly rounded and never contracted, so the results are
the reference's bit for bit; only the functions of a surface, such as cos, may differ in the last place.

The text has no names in it but numbered ones: inputs arrive by position, so nothing that a rule is called can end up
as code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ravine import powers
from ravine.libraries import INVERSE_CBRT
from ravine.rule import Rule
from ravine.trace.graph import Node, node, topological

_POWER = "\n".join(f"    {line}" for line in powers.lines("const ", ";"))

RUNTIME = f"""\
// base ** exponent by + − × ÷ alone, because the last bit of Math.pow is nobody's in particular.
const anyPower = (() => {{
  const view = new DataView(new ArrayBuffer(8));
  const normal = (x) => (x < 2.2250738585072014e-308 ? x * 18014398509481984 : x);
  const half = (x) => {{  // the fraction of x, in [½, 1)
    view.setFloat64(0, normal(x));
    view.setInt32(0, (view.getInt32(0) & 0xfffff) | 0x3fe00000);
    return view.getFloat64(0);
  }};
  const binary = (x) => {{  // x = half(x) · 2 ** binary(x)
    view.setFloat64(0, normal(x));
    return (view.getInt32(0) >>> 20) - 1022 - (normal(x) === x ? 0 : 54);
  }};
  const characteristic = (x) => (half(x) >= Math.SQRT1_2 ? binary(x) : binary(x) - 1);
  const mantissa = (x) => (half(x) >= Math.SQRT1_2 ? half(x) : 2 * half(x));
  const clamp = (v) => (v < -2000 ? -2000 : v > 2000 ? 2000 : v);
  const floor = Math.floor;
  const scale = (v, k) => {{
    if (!(k >= {powers.SMALLEST} && k <= {powers.LARGEST})) return k < 0 ? 0 : k > 0 ? Infinity : NaN;
    view.setFloat64(0, 0);
    view.setInt32(0, (k + 1023) << 20);
    return v * view.getFloat64(0);
  }};
  return (base, exponent) => {{
    if (base === 0 || base === Infinity) return (base > 0) === (exponent > 0) ? Infinity : 0;
    if (!(base > 0)) return NaN;
{_POWER}
    return result;
  }};
}})();
// The operations whose JavaScript namesakes mean something else.
const op = {{
  sign: (a) => (a > 0 ? 1 : a < 0 ? -1 : a === a ? 0 : a),
  maximum: (a, b) => (a > b || a !== a ? a : b),
  minimum: (a, b) => (a < b || a !== a ? a : b),
  roughInverseCbrt(a) {{
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, a);
    view.setInt32(0, {INVERSE_CBRT[8]} - Math.floor(view.getInt32(0) / 3));
    view.setInt32(4, 0);
    return view.getFloat64(0);
  }},
  power(base, exponent) {{
    if (!(exponent >= 0 && Number.isInteger(exponent))) return anyPower(base, exponent);
    let result = 1;
    for (let n = exponent; n > 0; n = Math.floor(n / 2)) {{
      if (n % 2 === 1) result = result * base;
      base = base * base;
    }}
    return result;
  }},
}};
"""
"""What generated text calls: include it once before it."""

_TEMPLATES = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "gt": "{} > {}",
    "ge": "{} >= {}",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "sqrt": "Math.sqrt({})",
    "rough_inverse_cbrt": "op.roughInverseCbrt({})",
    "abs": "Math.abs({})",
    "sign": "op.sign({})",
    "maximum": "op.maximum({}, {})",
    "minimum": "op.minimum({}, {})",
    "where": "{} ? {} : {}",
    "power": "op.power({}, {})",
    "exp": "Math.exp({})",
    "log": "Math.log({})",
    "sin": "Math.sin({})",
    "cos": "Math.cos({})",
    "tanh": "Math.tanh({})",
    "exponential": "exponential({})",
}


def number(value: float) -> str:
    """A double as a literal that reads back as the same double."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(float(value)).removesuffix(".0")
    return f"({text})" if text.startswith("-") else text


class Block:
    """A run of `const` statements that computes nodes, each once. `names` maps a node to the text that is its value."""

    def __init__(self, names: Mapping[Node, str], prefix: str) -> None:
        self.names = dict(names)
        self.prefix = prefix
        self.lines: list[str] = []

    def compute(self, outputs: Iterable[Node]) -> None:
        """Add statements for what `outputs` need and is not there yet. Raises TypeError for an unknown operation."""
        for n in topological(outputs):
            if n in self.names:
                continue
            if n.op == "const":
                self.names[n] = number(n.value)
                continue
            name = f"{self.prefix}{len(self.lines)}"
            self.lines.append(f"const {name} = {self.text(n)};")
            self.names[n] = name

    def text(self, n: Node) -> str:
        """The expression of a node whose arguments have names. Raises TypeError for an unknown operation."""
        return template(n.op, n.name).format(*(self.names[a] for a in n.args))


def template(op: str, name: str = "") -> str:
    """An operation on numbers as text with a {} for each. Raises TypeError for an unknown one."""
    if op not in _TEMPLATES:
        raise TypeError(f"the JavaScript engine can't lower {op!r} {name}".rstrip())
    return _TEMPLATES[op]


def step(rule: Rule) -> str:
    """A function (x, g, s, t, h) that makes one update in place.

    x and g are Float64Arrays of one length; s is the list of slots in the rule's order, each a Float64Array of that
    length, or of length 1 for a scalar slot; t counts from 1; h is the list of hyperparameters in the rule's order.
    """
    graph = rule.graph
    host = Block(scalar_names(rule), "c")
    host.compute(graph.coefficients)
    array = Block(host.names | _arrays(rule), "a")
    array.compute(n for n in graph.outputs if n.is_array)
    stores, scalar_stores = [f"x[i] = x0 + {array.names[graph.step]};"], []
    for k, (name, new) in enumerate(graph.slots.items()):
        if rule.slots[name].is_scalar:
            scalar_stores.append(f"s[{k}][0] = {host.names[new]};")
        else:
            stores.append(f"s[{k}][i] = {array.names[new]};")
    loop = _loop([*_read_arrays(rule), *array.lines, *stores])
    return text_of_function("x, g, s, t, h", [*scalar_reads(rule), *host.lines, *loop, *scalar_stores])


def look_ahead(rule: Rule) -> str | None:
    """A function (x, s, h, out) that writes x + o, where the rule wants its gradient; None if that is x itself."""
    offset = rule.look_ahead_graph
    return None if offset is None else _point(rule, offset, "x0 + {}")


def read_out(rule: Rule) -> str | None:
    """A function (x, s, h, out) that writes the point to evaluate after a step; None if that is x itself."""
    return None if rule.read_out_graph is None else _point(rule, rule.read_out_graph, "{}")


def _point(rule: Rule, expression: Node, result: str) -> str:
    block = Block(scalar_names(rule) | _arrays(rule), "a")
    block.compute([expression])
    loop = _loop([*_read_arrays(rule, "g"), *block.lines, f"out[i] = {result.format(block.names[expression])};"])
    return text_of_function("x, s, h, out", [*scalar_reads(rule), *loop])


def values(rule: Rule, nodes: Iterable[Node]) -> str:
    """A function (x, g, s, t, h, i) that returns the values of some nodes of the rule's graph at element i.

    The arrays are those from before the step; nothing is changed.
    """
    nodes = tuple(nodes)
    block = Block(scalar_names(rule) | _arrays(rule), "a")
    block.compute(nodes)
    result = f"return [{', '.join(block.names[n] for n in nodes)}];"
    return text_of_function("x, g, s, t, h, i", [*scalar_reads(rule), *_read_arrays(rule), *block.lines, result])


def function(parameters: str, inputs: Mapping[Node, str], outputs: Iterable[Node], result: str) -> str:
    """A function of any expressions: `inputs` says how its leaves are written, `result` (with one {} for each output)
    what is done with the values. Raises TypeError for an operation that has no JavaScript here."""
    block = Block(inputs, "a")
    outputs = tuple(outputs)
    block.compute(outputs)
    return text_of_function(parameters, [*block.lines, result.format(*(block.names[n] for n in outputs))])


def scalar_names(rule: Rule) -> dict[Node, str]:
    """The names of a graph's scalar inputs: t, hyperparameter k as h[k], scalar slot k as s<k>."""
    names = {node("scalar", name=name): f"h[{k}]" for k, name in enumerate(rule.hyperparameters)}
    names |= {node("scalar", name=n): f"s{k}" for k, (n, slot) in enumerate(rule.slots.items()) if slot.is_scalar}
    return names | {node("scalar", name="t"): "t"}


def _arrays(rule: Rule) -> dict[Node, str]:
    """The names of a graph's array inputs at element i: x0, g0, slot k as s<k>."""
    names = {node("array", name=n): f"s{k}" for k, n in enumerate(rule.slots)}
    return names | {node("array", name="x"): "x0", node("array", name="g"): "g0"}


def scalar_reads(rule: Rule) -> list[str]:
    """Statements that read the scalar slots."""
    return [f"const s{k} = s[{k}][0];" for k, slot in enumerate(rule.slots.values()) if slot.is_scalar]


def _read_arrays(rule: Rule, without: str = "") -> list[str]:
    """Everything is read before anything is stored: a new slot may be another slot's old value."""
    lines = ["const x0 = x[i];", "const g0 = g[i];"][: 1 if without == "g" else 2]
    return lines + [f"const s{k} = s[{k}][i];" for k, slot in enumerate(rule.slots.values()) if not slot.is_scalar]


def _loop(body: list[str]) -> list[str]:
    return ["for (let i = 0; i < x.length; i++) {", *_indent(body), "}"]


def text_of_function(parameters: str, body: list[str]) -> str:
    """A function with a body of some lines."""
    return "\n".join([f"({parameters}) => {{", *_indent(body), "}"])


def _indent(lines: list[str]) -> list[str]:
    return ["  " + line for line in lines]
