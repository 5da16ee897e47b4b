"""What a stage does to neighbouring elements of a matrix, as LLVM IR: the body of `lower.py` with operands that are
broadcast, a number that holds for the whole run or a row of as many numbers, and with results that are kept or reduced.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from ravine.engines.fused.lower import ONE as SINGLE
from ravine.engines.fused.lower import Elements, coefficients
from ravine.engines.fused.rounding import Shape
from ravine.engines.fused.storage import MEMORY, Storage
from ravine.engines.stages import Cut, Stage, computed, leaves
from ravine.sums import LANES
from ravine.trace import shapes
from ravine.trace.graph import CONDITIONS, REDUCTIONS, Node

WHOLE, ROW, COLUMN, ONE = "whole", "row", "column", "one"
"""How an operand moves along: with the elements, by one number from row to row, with the columns, or not at all."""

SIDE_BY_SIDE = Shape(lanes=LANES, prefix="m.")
"""As many elements at once as a sum has lanes."""

ELEMENTS = Template("""\
define internal void @elements$number($pointers, ptr noalias %c, i64 %n, i64 %start, i64 %seed) noinline {
entry:
$before
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %end
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
$body
  %i.next = add nuw nsw i64 %i, 1
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}""")

# Rows of lanes are added as they are computed; the rest of a row goes by way of a buffer of zeros.
SUMS = Template("""\
define internal void @sums$number($pointers, ptr noalias %c, i64 %n, i64 %start, i64 %seed) noinline {
entry:
$before
$buffers
  %past = urem i64 %n, $LANES
  %whole = sub i64 %n, %past
  %some = icmp sgt i64 %whole, 0
  br i1 %some, label %loop, label %last
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
$sums
$many
  %i.next = add nuw nsw i64 %i, $LANES
  %more = icmp slt i64 %i.next, %whole
  br i1 %more, label %loop, label %last
last:
$found
  %is.rest = icmp sgt i64 %past, 0
  br i1 %is.rest, label %rest, label %end
rest:
  %j = phi i64 [ %whole, %last ], [ %j.next, %rest ]
  %lane = sub i64 %j, %whole
$one
  %j.next = add nuw nsw i64 %j, 1
  %j.more = icmp slt i64 %j.next, %n
  br i1 %j.more, label %rest, label %row
row:
$row
  br label %end
end:
$blocks
$store
  ret void
}""")

BUFFER = """\
  %b$k.rest = alloca $kind
  store $kind zeroinitializer, ptr %b$k.rest"""

STORE = """\
  %before$k = load $wide, ptr %b$k.lanes, align 8
  %after$k = fadd $wide %before$k, %block$k
  store $wide %after$k, ptr %b$k.lanes, align 8"""


@dataclass(frozen=True)
class Argument:
    """A pointer that the function takes: its register, the storage type behind it, and how it moves."""

    register: str
    kind: str
    place: str

    @property
    def is_buffer(self) -> bool:
        """Whether it holds what is reduced."""
        return self.register.startswith("b")


class Segment(Elements):
    """The functions of one stage that run over neighbours in a row, number `number` of its module.

    `work` are the nodes that lie in work space, in the order of its columns.
    """

    def __init__(
        self, made: Cut, stage: Stage, storage: Storage, work: list[Node], number: int, shape: Shape = SINGLE
    ) -> None:
        super().__init__(made.graph, storage, shape)
        self.made, self.stage, self.number = made, stage, number
        self._given = (made, stage, storage, work, number)
        self.kinds = dict(zip(self.registers.values(), storage.arrays, strict=True))
        self._work = {n: f"w{k}" for k, n in enumerate(work)}
        self._read = {self._register(n): n for n in leaves(made, stage)}
        self._written = {self._target(key): value for key, value in stage.targets.items()}
        known = {register: made.shape(n) for register, n in self._read.items()}
        self.arguments = [
            Argument(register, self.kinds.get(register, storage.compute), place(known.get(register), stage.shape))
            for register in dict.fromkeys([*self._read, *self._written])
        ]

    def _register(self, n: Node) -> str:
        if n in self.made.early:
            return self.registers[self.made.early[n][0]]
        return self.registers[n.name] if n.op == "array" else self._work[n]

    def _target(self, key: Node | str) -> str:
        """What a target is called: an input or a place in work space, or the buffer of what is reduced."""
        if isinstance(key, str):
            return self.registers[key]
        return f"b{self.stage.reduced.index(key)}" if key in self.stage.reduced else self._work[key]

    def elements(self) -> str:
        """`@elements…` stores what it computes: pointers as `arguments` says, coefficients, the number of elements, the
        first one's number by which it is rounded at random, and a seed."""
        return ELEMENTS.substitute(
            number=self.number,
            pointers=self._pointers(".base"),
            before="\n".join([*self._load_numbers(), *self._take_numbers()]),
            body="\n".join([*self.compute("%i"), *self._stores("%i")]),
        )

    def sums(self) -> str:
        """`@sums…` adds what it computes to rows of lanes, to which the pointers of buffers lead, as one block."""
        many = Segment(*self._given, SIDE_BY_SIDE)
        kind, wide = SIDE_BY_SIDE.many(self.scalar), SIDE_BY_SIDE.many("double")
        reduced = [(k, (n, self.stage.targets[n])) for k, n in enumerate(self.stage.reduced)]
        before = [*self._load_numbers(), *self._take_numbers(), *many._take_numbers()]
        rows, adding = [*many.compute("%i"), *many._stores("%i", with_buffers=False)], []
        for k, (key, value) in reduced:
            adding += [*_add(f"sum{k}.next", f"%sum{k}", key, many._value(value), kind), *many._taken()]
        one, last = [*self.compute("%j"), *self._stores("%j", with_buffers=False)], []
        for k, (key, value) in reduced:
            one.append(f"  %b{k}.at = getelementptr {self.type}, ptr %b{k}.rest, i64 %lane")
            one.append(f"  store {self.type} {self._value(value)}, ptr %b{k}.at")
            last.append(f"  %rest{k} = load {kind}, ptr %b{k}.rest")
            last += _add(f"all{k}", f"%found{k}", key, f"%rest{k}", kind)

        def each(text: str) -> str:
            return "\n".join(Template(text).substitute(k=k, kind=kind, wide=wide) for k, _ in reduced)

        return SUMS.substitute(
            LANES=LANES,
            number=self.number,
            pointers=self._pointers(".lanes"),
            before="\n".join(before),
            buffers=each(BUFFER),
            sums=each("  %sum$k = phi $wide [ zeroinitializer, %entry ], [ %sum$k.next, %loop ]"),
            many="\n".join([*rows, *adding]),
            found=each("  %found$k = phi $wide [ zeroinitializer, %entry ], [ %sum$k.next, %loop ]"),
            one="\n".join(one),
            row="\n".join(last),
            blocks=each("  %block$k = phi $wide [ %found$k, %last ], [ %all$k, %row ]"),
            store=each(STORE),
        )

    def _pointers(self, of_buffers: str) -> str:
        names = (a.register + (of_buffers if a.is_buffer else ".base") for a in self.arguments)
        return ", ".join(f"ptr noalias %{name}" for name in names)

    def _load_numbers(self) -> list[str]:
        """Lines that load what is one number for the whole run: coefficients, and operands that don't move."""
        lines = []
        for k in range(len(coefficients(self.graph))):
            lines.append(f"  %c{k}.at = getelementptr {self.scalar}, ptr %c, i64 {k}")
            lines.append(f"  %c{k} = load {self.scalar}, ptr %c{k}.at")
        for a in self.arguments:
            if a.place in (ROW, ONE):
                lines.append(f"  %{a.register}.number = load {MEMORY[a.kind]}, ptr %{a.register}.base, align 1")
        return lines

    def _take_numbers(self) -> list[str]:
        """Lines that make of them what the body reads."""
        lines = self.take_coefficients()
        for a in self.arguments:
            if a.place in (ROW, ONE):
                stored = self._spread(a.register, f"%{a.register}.number", MEMORY[a.kind])
                self._take(a, self._widen(a.register, stored, a.kind, "0"))
        return lines + self._taken()

    def _take(self, a: Argument, value: str) -> None:
        n = self._read[a.register]
        if n.op in CONDITIONS:
            value = self._emit(f"{a.register}.true", f"fcmp une {self.type} {value}, {self._constant(0.0)}")
        self.values[n] = value

    def compute(self, index: str) -> list[str]:
        """Lines for the elements from number `index` of the run on."""
        self.hashes = {}
        for a in self.arguments:
            if a.place in (WHOLE, COLUMN) and a.register in self._read:
                text = f"load {self.shape.many(MEMORY[a.kind])}, {self._at(a.register, a.kind, index)}, align 1"
                self._take(a, self._widen(a.register, self._emit(f"{a.register}.stored", text), a.kind, index))
        for number, n in enumerate(computed(self.made, self.stage)):
            if n.is_array and n not in self.values:
                self.values[n] = self._operation(f"v{number}", n)
        return self._taken()

    def _stores(self, index: str, *, with_buffers: bool = True) -> list[str]:
        for register, n in self._written.items():
            if not with_buffers and register.startswith("b"):
                continue
            value, kind = self._value(n), self.kinds.get(register, self.storage.compute)
            if n.op in CONDITIONS:
                value = self._emit(f"{register}.number", f"uitofp {self.shape.many('i1')} {value} to {self.type}")
            if register in self.kinds:
                value = self._narrow(register, value, kind, self._bias(register, index))
            if register not in self._read:
                self._at(register, kind, index)
            self.lines.append(
                f"  store {self.shape.many(MEMORY[kind])} {value}, ptr %{self.shape.prefix}{register}.at, align 1"
            )
        return self._taken()

    def _operation(self, out: str, n: Node) -> str:
        return self._of_one(out, n) if n.op in REDUCTIONS else super()._operation(out, n)

    def _of_one(self, out: str, n: Node) -> str:
        """A reduction of one number: what `ravine.sums` does to it, which starts at +0 and is in float64."""
        double = self.shape.many("double")
        wide = self._convert(f"{out}.wide", self._value(n.args[0]), self.storage.compute, "float64")
        if n.op in ("norm", "rms"):
            wide = self._emit(f"{out}.square", f"fmul {double} {wide}, {wide}")
        wide = self._emit(f"{out}.sum", f"fadd {double} {wide}, {self._same('double', '0.0')}")
        if n.op in ("norm", "rms"):
            suffix = "f64" if self.shape.lanes == 1 else f"v{self.shape.lanes}f64"
            wide = self._emit(f"{out}.root", f"call {double} @llvm.sqrt.{suffix}({double} {wide})")
        return self._convert(out, wide, "float64", self.storage.compute)


def _add(name: str, before: str, reduction: Node | str, value: str, kind: str) -> list[str]:
    """Lines that add to a row of lanes what a reduction adds of a row of values."""
    wide, lines = SIDE_BY_SIDE.many("double"), []
    if kind != wide:
        lines.append(f"  %{name}.wide = fpext {kind} {value} to {wide}")
        value = f"%{name}.wide"
    if is_of_squares(reduction):
        lines.append(f"  %{name}.term = fmul {wide} {value}, {value}")
        value = f"%{name}.term"
    return [*lines, f"  %{name} = fadd {wide} {before}, {value}"]


def is_of_squares(reduction: Node | str) -> bool:
    """Whether a reduction adds squares."""
    return isinstance(reduction, Node) and reduction.op in ("norm", "rms")


def place(shape: shapes.Shape | None, whole: shapes.Shape) -> str:
    """How an operand of a shape moves along in a stage of another; what is only written has the stage's own."""
    if shape is None or shape == whole:
        return WHOLE
    rows, columns = shape
    if rows == "1" and columns == "1":
        return ONE
    return ROW if columns == "1" else COLUMN
