"""The scalar part of a graph as LLVM IR: the coefficients and new scalars of all tensors of a table, in float64.

`coefficients.py` says the same in Python, and with the same bits; it is asked where a quotient is not finite, since
Python raises an exception of a division by zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from string import Template

from ravine.engines.fused import power
from ravine.engines.fused.lower import Elements, coefficients, scalar_slots
from ravine.engines.fused.storage import COEFFICIENTS, MEMORY, Storage
from ravine.rule import Rule
from ravine.trace.graph import CONDITIONS, Graph, Node, node, topological


class Scalars(Elements):
    """The scalar part's expressions, in float64."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, Storage("float64", "float64", ("float64",) * len(graph.slots)))

    def write(self, outputs: Iterable[Node]) -> list[str]:
        """The lines that compute some nodes."""
        for number, n in enumerate(topological(outputs)):
            if n.op != "const" and n not in self.values:
                self.values[n] = self._operation(f"v{number}", n)
        return self._taken()

    def value(self, n: Node) -> str:
        """The register of a double; that of a condition becomes 1 or 0."""
        if n.op not in CONDITIONS:
            return self._value(n)
        return self._emit(f"{self._value(n)[1:]}.number", f"uitofp i1 {self._value(n)} to double")

    def taken(self) -> list[str]:
        """The lines that `value` needed."""
        return self._taken()

    def check(self, n: Node) -> list[str]:
        """Lines that note in %valid.at whether a node is finite."""
        name = self._value(n)[1:]
        size = self._emit(f"{name}.size", f"call double @llvm.fabs.f64(double {self._value(n)})")
        finite = self._emit(f"{name}.finite", f"fcmp olt double {size}, {self._constant(math.inf)}")
        before = self._emit(f"{name}.before", "load i1, ptr %valid.at")
        after = self._emit(f"{name}.after", f"and i1 {before}, {finite}")
        return [*self._taken(), f"  store i1 {after}, ptr %valid.at"]

    def _operation(self, out: str, n: Node) -> str:
        if n.op != "power":
            return super()._operation(out, n)
        base, exponent = (self._value(a) for a in n.args)
        return self._emit(out, f"call double @power(double {base}, double {exponent})")


# For each tensor that is not left out: which row of coefficients it has. Neighbours with equal scalars have one.
# Nothing is written but that and the rows. Returns whether every quotient is finite.
PREPARE = Template("""\
define i1 @prepare(ptr %table, i64 %size, ptr %hyper, ptr %c, ptr %scalars) {
entry:
  %used.at = alloca i64
  store i64 0, ptr %used.at
  %valid.at = alloca i1
  store i1 true, ptr %valid.at
  %known = alloca [$scalars x double]
$hyper
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %k.next, %next ]
  %is.tensor = icmp slt i64 %k, %size
  br i1 %is.tensor, label %tensor, label %end
tensor:
  %row.word = mul i64 %k, $columns
  %row = getelementptr i64, ptr %table, i64 %row.word
  %which.at = getelementptr i64, ptr %row, i64 $COEFFICIENTS
  %which = load i64, ptr %which.at
  %is.left.out = icmp slt i64 %which, 0
  br i1 %is.left.out, label %next, label %read
read:
  %used = load i64, ptr %used.at
  %same = icmp sgt i64 %used, 0
$loads
  %last = sub i64 %used, 1
  br i1 $all_same, label %keep, label %compute
compute:
  %c.word = mul i64 %used, $coefficients
  %c.row = getelementptr $compute, ptr %c, i64 %c.word
  %scalars.word = mul i64 %used, $scalars
  %scalars.row = getelementptr double, ptr %scalars, i64 %scalars.word
$lines
  %used.next = add i64 %used, 1
  store i64 %used.next, ptr %used.at
  br label %keep
keep:
  %own = phi i64 [ %last, %read ], [ %used, %compute ]
  store i64 %own, ptr %which.at
  br label %next
next:
  %k.next = add i64 %k, 1
  br label %loop
end:
  %valid = load i1, ptr %valid.at
  ret i1 %valid
}""")

LOAD = Template("""\
  %s$k.from.at = getelementptr ptr, ptr %row, i64 $column
  %s$k.from = load ptr, ptr %s$k.from.at
  %s$k.stored = load $type, ptr %s$k.from, align 1
$convert""")

COMPARE = Template("""\
  %f$k.at = getelementptr double, ptr %known, i64 $k
  %f$k = load double, ptr %f$k.at
  %e$k = fcmp oeq double %f$k, $value
  %same$k = and i1 $before, %e$k""")


def functions(rule: Rule, storage: Storage) -> list[str]:
    """`prepare` and what it calls; nothing where whoever calls the kernel keeps the scalars.

    `hyper` has t (read where the storage keeps no count), the hyperparameters in the rule's order, and the scale (read
    where gradients are scaled).
    """
    if scalar_slots(rule.graph) and not storage.scalars:
        return []
    places = range(len(rule.hyperparameters) + 2)
    values = [f"  %h{k}.at = getelementptr double, ptr %hyper, i64 {k}" for k in places]
    values += [f"  %h{k} = load double, ptr %h{k}.at" for k in places]
    loads, all_same = _loads(storage)
    prepare = PREPARE.substitute(
        COEFFICIENTS=COEFFICIENTS,
        columns=storage.columns,
        scalars=len(storage.scalars),
        coefficients=len(coefficients(rule.graph)) + storage.is_scaled,
        compute=MEMORY[storage.compute],
        hyper="\n".join(values),
        loads="\n".join(loads),
        all_same=all_same,
        lines="\n".join(_lines(rule, storage)),
    )
    return [power.function(), prepare]


def _loads(storage: Storage) -> tuple[list[str], str]:
    """The lines that read a tensor's scalars, and the register that says whether they are the ones before."""
    loads, same = [], "%same"
    for k, kind in enumerate(storage.scalars):
        loads += [load(k, kind, storage.scalar_column), COMPARE.substitute(k=k, value=loaded(k, kind), before=same)]
        same = f"%same{k}"
    return loads, same


def load(k: int, kind: str, first: int) -> str:
    """Lines that read number k of a tensor from where %row says, in column `first` for number 0, into the register
    `loaded(k, kind)`."""
    return LOAD.substitute(
        k=k,
        column=first + k,
        type=MEMORY[kind],
        convert=f"  %s{k}.wide = fpext float %s{k}.stored to double" if kind == "float32" else "",
    )


def loaded(k: int, kind: str) -> str:
    """The register of a number that was read."""
    return f"%s{k}.wide" if kind == "float32" else f"%s{k}.stored"


def _lines(rule: Rule, storage: Storage) -> list[str]:
    """The lines that compute and store one row of coefficients and new scalars, and note what was read."""
    scalars, one = Scalars(rule.graph), "0x3FF0000000000000"
    read = [loaded(k, kind) for k, kind in enumerate(storage.scalars)]
    names = dict(zip(scalar_slots(rule.graph), read[1:], strict=True))
    names |= {name: f"%h{k}" for k, name in enumerate(rule.hyperparameters, 1)} | {"t": "%t"}
    scalars.values = {node("scalar", name=name): register for name, register in names.items()}
    wanted, kept = coefficients(rule.graph), [rule.graph.slots[name] for name in scalar_slots(rule.graph)]
    lines = [f"  %t = fadd double {read[0] if read else '%h0'}, {one if read else '-0.0'}"]
    lines += scalars.write([*wanted, *kept])
    for n in topological([*wanted, *kept]):
        lines += scalars.check(n) if n.op == "div" else []
    rows = [scalars.value(n) for n in wanted] + [f"%h{len(rule.hyperparameters) + 1}"] * storage.is_scaled
    new = ["%t", *map(scalars.value, kept)] if read else []
    lines += scalars.taken()
    for k, register in enumerate(rows):
        lines += _store(f"%c{k}", register, MEMORY[storage.compute], "%c.row", k)
    for k, register in enumerate(new):
        lines += _store(f"%new{k}", register, "double", "%scalars.row", k)
        lines += _store(f"%old{k}", read[k], "double", "%known", k)
    return lines


def _store(name: str, register: str, kind: str, row: str, k: int) -> list[str]:
    lines = [f"  {name}.at = getelementptr {kind}, ptr {row}, i64 {k}"]
    if kind == "float":
        lines.append(f"  {name}.rounded = fptrunc double {register} to float")
        register = f"{name}.rounded"
    return [*lines, f"  store {kind} {register}, ptr {name}.at"]
