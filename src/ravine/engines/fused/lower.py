"""From a rule's graph to LLVM IR, as text: what is done to one element of a tensor, or to several neighbours at once.

The arithmetic is strict IEEE 754: no fast-math flag is ever written, so LLVM neither reorders nor contracts.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

from ravine.engines.fused.storage import MEMORY, SIZES, Storage
from ravine.trace.graph import CONDITIONS, Graph, Node, node

BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
COMPARE = {"gt": "ogt", "ge": "oge", "lt": "olt", "le": "ole"}


PLACE, MIX = 0x9E3779B1, ((16, 0x85EBCA6B), (13, 0xC2B2AE35))
"""How random bits are made of a seed and a place: h = place × PLACE + seed, then h ^= h >> shift, h ×= factor."""


def signed(word: int) -> int:
    """32 bits as LLVM writes them."""
    return word - (1 << 32) if word >= 1 << 31 else word


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


@dataclass(frozen=True)
class Shape:
    """How a body is written: for `lanes` neighbouring elements at a time, with arrays in LLVM's address space `space`.

    `is_aligned` says that arrays lie at multiples of what is read of them at once, or of 16 bytes where that is more.
    `has_bfloat` says that the processor rounds to bfloat16 by itself. `prefix` begins the names of the body's own
    registers, so that a function can hold two bodies.
    """

    lanes: int = 1
    space: int = 0
    is_aligned: bool = False
    has_bfloat: bool = False
    prefix: str = ""

    def many(self, kind: str) -> str:
        """The type of one value for each lane."""
        return kind if self.lanes == 1 else f"<{self.lanes} x {kind}>"

    @property
    def pointer(self) -> str:
        """The type of an array's address."""
        return f"ptr addrspace({self.space})" if self.space else "ptr"

    def alignment(self, kind: str) -> int:
        """What LLVM may take for granted of an array of a storage type."""
        return min(16, self.lanes * SIZES[kind]) if self.is_aligned else 1


class Elements:
    """The body of the loop over one tensor's elements, and the function around it that processors run.

    Outside of the body are the registers %start and %seed, %scale, the coefficients %c0, %c1, … and each array's base.
    """

    def __init__(self, graph: Graph, storage: Storage, shape: Shape = Shape()) -> None:
        self.graph, self.storage, self.shape = graph, storage, shape
        self.scalar = MEMORY[storage.compute]
        self.type = shape.many(self.scalar)
        self.suffix = ("" if shape.lanes == 1 else f"v{shape.lanes}") + {"float": "f32", "double": "f64"}[self.scalar]
        # A slot may have any name that Python allows, a register of LLVM's may not.
        self.registers = {"x": "x", "g": "g", **{name: f"slot{k}" for k, name in enumerate(array_slots(graph))}}
        self.values: dict[Node, str] = {}
        self.scale = "%scale"
        self.lines: list[str] = []

    def function(self) -> str:
        pointers = [f"ptr noalias %{register}.base" for register in self.registers.values()]
        numbers = "ptr noalias %c, i64 %n, i64 %start, i64 %seed"
        head = f"define internal void @elements({', '.join(pointers)}, {numbers}) noinline {{"
        before = ["entry:", *self._load_coefficients(), "  %some = icmp sgt i64 %n, 0"]
        before += ["  br i1 %some, label %loop, label %end", "loop:"]
        before += ["  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]"]
        body = self.body("%i")
        after = ["  %i.next = add nuw nsw i64 %i, 1", "  %more = icmp slt i64 %i.next, %n"]
        after += ["  br i1 %more, label %loop, label %end", "end:", "  ret void", "}"]
        return "\n".join([head, *before, *body, *after])

    def _load_coefficients(self) -> list[str]:
        lines = []
        for k, n in enumerate(coefficients(self.graph)):
            lines.append(f"  %c{k}.at = getelementptr {self.type}, ptr %c, i64 {k}")
            lines.append(f"  %c{k} = load {self.type}, ptr %c{k}.at")
            lines += self.take_coefficient(k, n)
        if self.storage.is_scaled:
            lines.append(f"  %scale.at = getelementptr {self.type}, ptr %c, i64 {len(coefficients(self.graph))}")
            lines.append(f"  %scale = load {self.type}, ptr %scale.at")
        return lines

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
        for (name, register), kind in zip(self.registers.items(), self.storage.arrays, strict=True):
            memory, pointer = MEMORY[kind], self.shape.pointer
            at = self._emit(f"{register}.at", f"getelementptr {memory}, {pointer} %{register}.base, i64 {index}")
            load = f"load {self.shape.many(memory)}, {pointer} {at}, align {self.shape.alignment(kind)}"
            self.values[_leaf(name)] = self._widen(register, self._emit(f"{register}.stored", load), kind)
        if self.storage.is_scaled:
            scaled = self._value(_leaf("g"))
            self.values[_leaf("g")] = self._emit("g.unscaled", f"fdiv {self.type} {scaled}, {self.scale}")
        for number, n in enumerate(self.graph.array_nodes):
            self.values[n] = self._operation(f"v{number}", n)
        x = self._emit("x.new", f"fadd {self.type} {self._value(_leaf('x'))}, {self._value(self.graph.step)}")
        new = {"x": x, **{name: self._value(self.graph.slots[name]) for name in array_slots(self.graph)}}
        if self.storage.is_scaled:
            new["g"] = self._value(_leaf("g"))
        for (name, register), kind in zip(self.registers.items(), self.storage.arrays, strict=True):
            if name in new:
                bias = self._noise(index) if name == "x" and self.storage.is_stochastic else None
                rounded = f"{self.shape.many(MEMORY[kind])} {self._narrow(register, new[name], kind, bias)}"
                at = f"{self.shape.pointer} %{self.shape.prefix}{register}.at"
                self.lines.append(f"  store {rounded}, {at}, align {self.shape.alignment(kind)}")
        return self._taken()

    def _emit(self, name: str, text: str) -> str:
        register = f"%{self.shape.prefix}{name}"
        self.lines.append(f"  {register} = {text}")
        return register

    def _taken(self) -> list[str]:
        """The lines so far, which are somebody else's now."""
        lines, self.lines = self.lines, []
        return lines

    def _value(self, n: Node) -> str:
        return self._constant(n.value) if n.op == "const" else self.values[n]

    def _constant(self, value: float) -> str:
        if self.scalar == "float":
            value = ctypes.c_float(value).value
        return self._same(self.scalar, f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}")

    def _same(self, kind: str, constant: str | int) -> str:
        """A constant for each lane."""
        return str(constant) if self.shape.lanes == 1 else f"splat ({kind} {constant})"

    def _spread(self, name: str, register: str, kind: str) -> str:
        """One value for each lane."""
        if self.shape.lanes == 1:
            return register
        many, places = self.shape.many(kind), self.shape.many("i32")
        one = self._emit(f"{name}.one", f"insertelement {many} poison, {kind} {register}, i32 0")
        return self._emit(f"{name}.all", f"shufflevector {many} {one}, {many} poison, {places} zeroinitializer")

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

    def _widen(self, register: str, value: str, kind: str) -> str:
        """A stored value in the compute type."""
        if kind == "bfloat16":  # the upper half of a float
            i32, i16, single = map(self.shape.many, ("i32", "i16", "float"))
            bits = self._emit(f"{register}.bits", f"zext {i16} {value} to {i32}")
            high = self._emit(f"{register}.high", f"shl {i32} {bits}, {self._same('i32', 16)}")
            value, kind = self._emit(f"{register}.float", f"bitcast {i32} {high} to {single}"), "float32"
        return self._convert(f"{register}.old", value, kind, self.storage.compute)

    def _noise(self, index: str) -> str:
        """16 random bits: the place of the element and the seed, mixed as at the end of MurmurHash3."""
        i32, same = self.shape.many("i32"), self._same
        place = self._emit("place", f"add i64 %start, {index}")
        low = self._spread("place.low", self._emit("place.low", f"trunc i64 {place} to i32"), "i32")
        if self.shape.lanes > 1:
            numbers = ", ".join(f"i32 {k}" for k in range(self.shape.lanes))
            low = self._emit("places", f"add {i32} {low}, <{numbers}>")
        seed = self._spread("seed.low", self._emit("seed.low", "trunc i64 %seed to i32"), "i32")
        h = self._emit("h0", f"mul {i32} {low}, {same('i32', signed(PLACE))}")
        h = self._emit("h1", f"add {i32} {h}, {seed}")
        for k, (shift, factor) in enumerate(MIX):
            shifted = self._emit(f"h.shift{k}", f"lshr {i32} {h}, {same('i32', shift)}")
            h = self._emit(f"h.xor{k}", f"xor {i32} {h}, {shifted}")
            h = self._emit(f"h.mul{k}", f"mul {i32} {h}, {same('i32', signed(factor))}")
        return self._emit("noise", f"lshr {i32} {h}, {same('i32', 16)}")

    def _narrow(self, register: str, value: str, kind: str, bias: str | None = None) -> str:
        """A computed value rounded to a storage type: the nearest, ties to even, or as the bias of bfloat16 has it."""
        if kind != "bfloat16":
            return self._convert(f"{register}.rounded", value, self.storage.compute, kind)
        i32, i16, single, short = map(self.shape.many, ("i32", "i16", "float", "bfloat"))
        value = self._convert(f"{register}.single", value, self.storage.compute, "float32")
        if bias is None and self.shape.has_bfloat:
            short_value = self._emit(f"{register}.short", f"fptrunc {single} {value} to {short}")
            return self._emit(f"{register}.rounded", f"bitcast {short} {short_value} to {i16}")
        same = self._same
        bits = self._emit(f"{register}.r0", f"bitcast {single} {value} to {i32}")
        if bias is None:
            upper = self._emit(f"{register}.r1", f"lshr {i32} {bits}, {same('i32', 16)}")
            odd = self._emit(f"{register}.r2", f"and {i32} {upper}, {same('i32', 1)}")
            bias = self._emit(f"{register}.r3", f"add {i32} {odd}, {same('i32', 32767)}")
        moved = self._emit(f"{register}.r4", f"add {i32} {bits}, {bias}")
        nearest = self._emit(f"{register}.r5", f"lshr {i32} {moved}, {same('i32', 16)}")
        nan = self._emit(f"{register}.r6", f"fcmp uno {single} {value}, {value}")
        truth = self.shape.many("i1")
        safe = self._emit(f"{register}.r7", f"select {truth} {nan}, {i32} {same('i32', 0x7FC0)}, {i32} {nearest}")
        return self._emit(f"{register}.rounded", f"trunc {i32} {safe} to {i16}")

    def _convert(self, out: str, value: str, old: str, new: str) -> str:
        if old == new:
            return value
        word = "fpext" if SIZES[new] > SIZES[old] else "fptrunc"
        return self._emit(out, f"{word} {self.shape.many(MEMORY[old])} {value} to {self.shape.many(MEMORY[new])}")


def _leaf(name: str) -> Node:
    return node("array", name=name)
