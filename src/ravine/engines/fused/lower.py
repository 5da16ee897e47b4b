"""From a rule's graph to LLVM IR, as text: what is done to one element of a tensor, or to several neighbours at once.

The arithmetic is strict IEEE 754: no fast-math flag is ever written, so LLVM neither reorders nor contracts.
"""

from __future__ import annotations

import ctypes
import struct
from functools import cached_property

from ravine.engines.fused.rounding import Rounding, Shape
from ravine.engines.fused.storage import MEMORY, SIZES, Storage
from ravine.libraries import INVERSE_CBRT
from ravine.trace.graph import CONDITIONS, Graph, Node, node

BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
COMPARE = {"gt": "ogt", "ge": "oge", "lt": "olt", "le": "ole"}


ONE = Shape()
"""One element at a time, in memory of any kind."""


def array_slots(graph: Graph) -> list[str]:
    """The slots that are arrays, in order."""
    return [name for name, new in graph.slots.items() if new.is_array]


def scalar_slots(graph: Graph) -> list[str]:
    """The slots that are one number, in order."""
    return [name for name, new in graph.slots.items() if not new.is_array]


def coefficients(graph: Graph) -> list[Node]:
    """The scalar expressions that the loop over elements reads; constants are written into the code instead."""
    read = [a for n in graph.array_nodes for a in n.args if not a.is_array and a.op != "const"]
    return list(dict.fromkeys(read))


def functions(body: Elements) -> str:
    """Of the functions that a body calls."""
    return "\n".join(f"declare {body.type} @llvm.{name}.{body.suffix}({body.type})" for name in ("sqrt", "fabs"))


class Elements(Rounding):
    """The body of the loop over one tensor's elements, and the function around it that processors run.

    Outside of the body are the registers %start and %seed, %scale, the coefficients %c0, %c1, … and each array's base.
    """

    def __init__(self, graph: Graph, storage: Storage, shape: Shape = ONE) -> None:
        super().__init__(storage, shape)
        self.graph = graph
        self.scalar = MEMORY[storage.compute]
        self.type = shape.many(self.scalar)
        self.suffix = ("" if shape.lanes == 1 else f"v{shape.lanes}") + {"float": "f32", "double": "f64"}[self.scalar]
        # A slot may have any name that Python allows, a register of LLVM's may not.
        self.registers = {"x": "x", "g": "g", **{name: f"slot{k}" for k, name in enumerate(array_slots(graph))}}
        self.beside = ["remainder"] * storage.has_remainder + [f"scale{k}" for k in storage.scales]
        self.values: dict[Node, str] = {}
        self.scale = "%scale"

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The storage type of each array."""
        return dict(zip(self.registers, self.storage.arrays, strict=True))

    def function(self) -> str:
        head = f"define internal void @elements({self._parameters()}) noinline {{"
        before = ["entry:", *self._load_coefficients(), "  %some = icmp sgt i64 %n, 0"]
        before_hash, top = self._count_beginnings() if self.storage.is_seeded else ([], [])
        before += [*before_hash, "  br i1 %some, label %loop, label %end", "loop:"]
        before += ["  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]", *top]
        body = self.body("%i")
        after = ["  %i.next = add nuw nsw i64 %i, 1", "  %more = icmp slt i64 %i.next, %n"]
        after += ["  br i1 %more, label %loop, label %end", "end:", "  ret void", "}"]
        return "\n".join([head, *before, *body, *after])

    def _parameters(self) -> str:
        pointers = [f"ptr noalias %{register}.base" for register in (*self.registers.values(), *self.beside)]
        return ", ".join([*pointers, "ptr noalias %c, i64 %n, i64 %start, i64 %seed"])

    def _load_coefficients(self) -> list[str]:
        lines = []
        for k, n in enumerate(coefficients(self.graph)):
            lines.append(f"  %c{k}.at = getelementptr {self.scalar}, ptr %c, i64 {k}")
            lines.append(f"  %c{k} = load {self.scalar}, ptr %c{k}.at")
            lines += self.take_coefficient(k, n)
        if self.storage.is_scaled:
            lines.append(f"  %scale.at = getelementptr {self.scalar}, ptr %c, i64 {len(coefficients(self.graph))}")
            lines.append(f"  %scale = load {self.scalar}, ptr %scale.at")
            self.scale = self._spread("scale", "%scale", self.scalar)
        return lines + self._taken()

    def take_coefficients(self) -> list[str]:
        """Lines for before the loop: they make of the coefficients %c0, %c1, … and %scale what the body reads."""
        lines = [line for k, n in enumerate(coefficients(self.graph)) for line in self.take_coefficient(k, n)]
        if self.storage.is_scaled:
            self.scale = self._spread("scale", "%scale", self.scalar)
        return lines + self._taken()

    def take_coefficient(self, k: int, n: Node) -> list[str]:
        """The same for one of them, number k."""
        self.values[n] = self._spread(f"c{k}", f"%c{k}", self.scalar)
        if n.op in CONDITIONS:
            self.values[n] = self._emit(f"c{k}.true", f"fcmp une {self.type} {self.values[n]}, {self._constant(0.0)}")
        return self._taken()

    def body(self, index: str) -> list[str]:
        """Lines that update the elements from number `index`, a register, on."""
        self.hashes, self.places = {}, {}
        self._load(index)
        self._compute()
        self._store(self._new(), index)
        return self._taken()

    def _load(self, index: str) -> None:
        """Every array's elements in the compute type."""
        for name in self.registers:
            self.values[leaf(name)] = self._load_one(name, index)
        if self.storage.is_scaled:
            self.values[leaf("g")] = self._unscaled(self.values[leaf("g")])

    def _load_one(self, name: str, index: str) -> str:
        """The elements of an array in the compute type."""
        register, kind = self.registers[name], self.kinds[name]
        load = f"load {self.shape.many(MEMORY[kind])}, {self._at(register, kind, index)}"
        stored = self._emit(f"{register}.stored", f"{load}, align {self.shape.alignment(kind)}")
        return self._widen(register, stored, kind, index)

    def _unscaled(self, g: str) -> str:
        return self._emit("g.unscaled", f"fdiv {self.type} {g}, {self.scale}")

    def _compute(self) -> None:
        for number, n in enumerate(self.graph.array_nodes):
            self.values[n] = self._operation(f"v{number}", n)

    def _new(self) -> dict[str, str]:
        """The new values of what is written, by name."""
        new = {name: self._value(self.graph.slots[name]) for name in array_slots(self.graph)}
        if self.storage.is_scaled:
            new["g"] = self._value(leaf("g"))
        return {"x": self._new_x(), **new}

    def _new_x(self) -> str:
        return self._emit("x.new", f"fadd {self.type} {self._value(leaf('x'))}, {self._value(self.graph.step)}")

    def _store(self, new: dict[str, str], index: str) -> None:
        for name, register in self.registers.items():
            if name in new:
                kind = self.kinds[name]
                if name == "x" and self.storage.has_remainder:
                    value = self._split(new[name], index)
                else:
                    value = self._narrow(register, new[name], kind, self._bias(register, index))
                at = self._at(register, kind, index)
                stored = f"{self.shape.many(MEMORY[kind])} {value}"
                self.lines.append(f"  store {stored}, {at}, align {self.shape.alignment(kind)}")

    def _value(self, n: Node) -> str:
        return self._constant(n.value) if n.op == "const" else self.values[n]

    def _constant(self, value: float) -> str:
        if self.scalar == "float":
            value = ctypes.c_float(value).value
        return self._same(self.scalar, f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}")

    def _operation(self, out: str, n: Node) -> str:
        t = self.type
        a = [self._value(arg) for arg in n.args]
        if n.op in BINARY:
            return self._emit(out, f"{BINARY[n.op]} {t} {a[0]}, {a[1]}")
        if n.op in COMPARE:
            return self._emit(out, f"fcmp {COMPARE[n.op]} {t} {a[0]}, {a[1]}")
        truth = self.shape.many("i1")
        match n.op:
            case "neg":
                return self._emit(out, f"fneg {t} {a[0]}")
            case "sqrt" | "abs":
                function = {"sqrt": "sqrt", "abs": "fabs"}[n.op]
                return self._emit(out, f"call {t} @llvm.{function}.{self.suffix}({t} {a[0]})")
            case "rough_inverse_cbrt":
                return self._rough_inverse_cbrt(out, a[0])
            case "where":
                return self._emit(out, f"select {truth} {a[0]}, {t} {a[1]}, {t} {a[2]}")
            case "maximum" | "minimum":  # the first where it wins or is NaN; the second also where it is NaN
                wins = self._emit(f"{out}.wins", f"fcmp {'ogt' if n.op == 'maximum' else 'olt'} {t} {a[0]}, {a[1]}")
                nan = self._emit(f"{out}.nan", f"fcmp uno {t} {a[0]}, {a[0]}")
                first = self._emit(f"{out}.first", f"or {truth} {wins}, {nan}")
                return self._emit(out, f"select {truth} {first}, {t} {a[0]}, {t} {a[1]}")
            case "sign":
                zero, one, minus = (self._constant(v) for v in (0.0, 1.0, -1.0))
                above = self._emit(f"{out}.above", f"fcmp ogt {t} {a[0]}, {zero}")
                below = self._emit(f"{out}.below", f"fcmp olt {t} {a[0]}, {zero}")
                nan = self._emit(f"{out}.nan", f"fcmp uno {t} {a[0]}, {a[0]}")
                low = self._emit(f"{out}.low", f"select {truth} {below}, {t} {minus}, {t} {zero}")
                number = self._emit(f"{out}.number", f"select {truth} {above}, {t} {one}, {t} {low}")
                return self._emit(out, f"select {truth} {nan}, {t} {a[0]}, {t} {number}")
        raise NotImplementedError(f"the fused engine has no code for the operation {n.op!r}")

    def _rough_inverse_cbrt(self, out: str, a: str) -> str:
        """By its bits, as `libraries.inverse_cbrt_bits` has it."""
        size = SIZES[self.storage.compute]
        i32, whole, same = self.shape.many("i32"), self.shape.many(f"i{8 * size}"), self._same
        bits = self._emit(f"{out}.bits", f"bitcast {self.type} {a} to {whole}")
        if size == 8:
            upper = self._emit(f"{out}.upper", f"lshr {whole} {bits}, {same('i64', 32)}")
            bits = self._emit(f"{out}.word", f"trunc {whole} {upper} to {i32}")
        third = self._emit(f"{out}.third", f"udiv {i32} {bits}, {same('i32', 3)}")
        left = self._emit(f"{out}.left", f"sub {i32} {same('i32', INVERSE_CBRT[size])}, {third}")
        if size == 8:
            wide = self._emit(f"{out}.wide", f"zext {i32} {left} to {whole}")
            left = self._emit(f"{out}.high", f"shl {whole} {wide}, {same('i64', 32)}")
        return self._emit(out, f"bitcast {whole} {left} to {self.type}")


def leaf(name: str) -> Node:
    """The node of an array by its name."""
    return node("array", name=name)
