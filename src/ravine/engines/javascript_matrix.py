"""JavaScript of rules that read more than one element at a time: the parameter is a matrix of one column.

A step is written node by node with small matrices, {rows, columns, data}. Sums are added in the order of `ravine.sums`;
a product adds in index order, where a library may choose another, so it agrees to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable

from ravine import sums
from ravine.engines.javascript import Block, scalar_names, scalar_reads, template, text_of_function
from ravine.math import newton_schulz_step
from ravine.rule import Rule
from ravine.trace.graph import REDUCTIONS, Node, node
from ravine.trace.shapes import WHOLE, Shape
from ravine.trace.tracer import Tracer

RUNTIME = f"""\
// Small matrices: {{rows, columns, data}}, data by rows. A number stands for a matrix of 1 × 1.
const matrix = {{
  of: (rows, columns, data) => ({{ rows, columns, data: Float64Array.from(data) }}),
  at: (a, i, j) => a.data[(a.rows > 1 ? i : 0) * a.columns + (a.columns > 1 ? j : 0)],
  each(f, ...operands) {{
    const all = operands.map((a) => (typeof a === "object" ? a : {{ rows: 1, columns: 1, data: [a] }}));
    const rows = Math.max(...all.map((a) => a.rows));
    const columns = Math.max(...all.map((a) => a.columns));
    const data = new Float64Array(rows * columns);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        data[i * columns + j] = f(...all.map((a) => matrix.at(a, i, j)));
    return {{ rows, columns, data }};
  }},
  sum(numbers) {{
    while (numbers.length > {sums.LANES}) {{
      const added = [];
      for (let start = 0; start < numbers.length; start += {sums.LANES * sums.DEPTH}) {{
        const block = numbers.slice(start, start + {sums.LANES * sums.DEPTH});
        const lanes = new Array({sums.LANES}).fill(0);
        block.forEach((v, k) => (lanes[k % {sums.LANES}] += v));
        added.push(...lanes);
      }}
      numbers = added;
    }}
    return numbers.reduce((a, b) => a + b, 0);
  }},
  reduce(kind, a, axis) {{
    const squared = kind === "norm" || kind === "rms";
    const data = squared ? a.data.map((v) => v * v) : a.data;
    const [n, length] = axis === null ? [1, data.length] : axis === 1 ? [a.rows, a.columns] : [a.columns, a.rows];
    const place = axis === 0 ? (k, i) => i * a.columns + k : (k, i) => k * length + i;
    const groups = Array.from({{ length: n }}, (_, k) => Array.from({{ length }}, (_, i) => data[place(k, i)]));
    const found = groups.map((numbers) => {{
      const total = matrix.sum(numbers);
      const value = kind === "mean" || kind === "rms" ? total / Math.max(numbers.length, 1) : total;
      return squared ? Math.sqrt(value) : value;
    }});
    return axis === 0 ? matrix.of(1, found.length, found) : matrix.of(found.length, 1, found);
  }},
  transpose(a) {{
    const data = new Float64Array(a.data.length);
    for (let i = 0; i < a.rows; i++)
      for (let j = 0; j < a.columns; j++) data[j * a.rows + i] = a.data[i * a.columns + j];
    return {{ rows: a.columns, columns: a.rows, data }};
  }},
  matmul(a, b) {{
    const data = new Float64Array(a.rows * b.columns);
    for (let i = 0; i < a.rows; i++)
      for (let j = 0; j < b.columns; j++) {{
        let added = 0;
        for (let k = 0; k < a.columns; k++) added += a.data[i * a.columns + k] * b.data[k * b.columns + j];
        data[i * b.columns + j] = added;
      }}
    return {{ rows: a.rows, columns: b.columns, data }};
  }},
  repeat(step, times, a) {{
    const isTall = a.rows > a.columns;
    let y = isTall ? matrix.transpose(a) : a;
    for (let k = 0; k < Math.trunc(times); k++) y = step(y);
    return isTall ? matrix.transpose(y) : y;
  }},
}};
"""
"""What generated text calls besides `javascript.RUNTIME`."""

Y = node("array", name="y")


class MatrixBlock(Block):
    """Statements that compute nodes with shapes as matrices, coefficients as numbers."""

    def text(self, n: Node) -> str:
        if n.shape is None:
            return super().text(n)
        values = [self.names[a] for a in n.args]
        if n.op in REDUCTIONS:
            axis = "null" if n.options[0] is None else str(n.options[0])
            return f'matrix.reduce("{n.op}", {values[0]}, {axis})'
        if n.op in ("matmul", "transpose"):
            return f"matrix.{n.op}({', '.join(values)})"
        if n.op == "newton_schulz":
            inner = MatrixBlock({**self.names, Y: "y"}, f"{self.prefix}{len(self.lines)}_")
            step = newton_schulz_step(Tracer(Y), *map(Tracer, n.args[1:4])).node
            inner.compute([step])
            loop = f"(y) => {{ {' '.join(inner.lines)} return {inner.names[step]}; }}"
            return f"matrix.repeat({loop}, {values[4]}, {values[0]})"
        names = [f"p{k}" for k in range(len(values))]
        return f"matrix.each(({', '.join(names)}) => {template(n.op).format(*names)}, {', '.join(values)})"


def step(rule: Rule) -> str:
    """A function (x, g, s, t, h) as `javascript.step` makes it; a slot has its rows times columns as elements."""
    graph = rule.graph
    block = _inputs(rule)
    block.compute(graph.outputs)
    moved = f"x.set(matrix.each((p, q) => p + q, x0, {block.names[graph.step]}).data);"
    stores = [f"s[{k}].set({_stored(block, new)});" for k, new in enumerate(graph.slots.values())]
    return text_of_function("x, g, s, t, h", [*_reads(rule), *block.lines, moved, *stores])


def values(rule: Rule, nodes: Iterable[Node]) -> str:
    """A function (x, g, s, t, h, i) as `javascript.values` makes it; of one number for all elements, that."""
    nodes = tuple(nodes)
    block = _inputs(rule)
    block.compute(nodes)
    shown = [block.names[n] if n.shape is None else f"matrix.at({block.names[n]}, i, i)" for n in nodes]
    return text_of_function("x, g, s, t, h, i", [*_reads(rule), *block.lines, f"return [{', '.join(shown)}];"])


def _stored(block: Block, new: Node) -> str:
    return f"[{block.names[new]}]" if new.shape is None else f"{block.names[new]}.data"


def _inputs(rule: Rule) -> MatrixBlock:
    names = scalar_names(rule) | {node("size", name="r"): "x.length", node("size", name="c"): "1"}
    names |= {rule.graph.input(n): f"s{k}" for k, (n, slot) in enumerate(rule.slots.items()) if not slot.is_scalar}
    return MatrixBlock({**names, rule.graph.input("x"): "x0", rule.graph.input("g"): "g0"}, "a")


def _reads(rule: Rule) -> list[str]:
    lines = scalar_reads(rule) + [f"const {n}0 = matrix.of(x.length, 1, {n});" for n in ("x", "g")]
    for k, (name, slot) in enumerate(rule.slots.items()):
        if not slot.is_scalar:
            rows, columns = map(_length, rule.graph.input(name).shape or WHOLE)
            lines.append(f"const s{k} = matrix.of({rows}, {columns}, s[{k}]);")
    return lines


def _length(dim: str) -> str:
    return "x.length" if dim == "r" else "1"


def power(shape: Shape | None) -> int:
    """A slot of a parameter of n rows and one column has n to this power elements."""
    return 0 if shape is None else shape.count("r")
