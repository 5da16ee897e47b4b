"""From a rule's graph to LLVM IR, as text: the loop over the elements of one tensor.

The arithmetic is strict IEEE 754: no fast-math flag is ever written, so LLVM neither reorders nor contracts.
"""

from __future__ import annotations

import ctypes
import struct

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


class Elements:
    """The function that updates a run of elements of one tensor."""

    def __init__(self, graph: Graph, storage: Storage) -> None:
        self.graph, self.storage = graph, storage
        self.type = MEMORY[storage.compute]
        self.suffix = {"float": "f32", "double": "f64"}[self.type]
        # A slot may have any name that Python allows, a register of LLVM's may not.
        self.registers = {"x": "x", "g": "g", **{name: f"slot{k}" for k, name in enumerate(array_slots(graph))}}
        self.values: dict[Node, str] = {}
        self.lines: list[str] = []

    def function(self) -> str:
        pointers = [f"ptr noalias %{register}.base" for register in self.registers.values()]
        numbers = "ptr noalias %c, i64 %n, i64 %start, i64 %seed"
        head = f"define internal void @elements({', '.join(pointers)}, {numbers}) noinline {{"
        before = ["entry:", *self._load_coefficients(), "  %some = icmp sgt i64 %n, 0"]
        before += ["  br i1 %some, label %loop, label %end", "loop:"]
        before += ["  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]"]
        self._body()
        after = ["  %i.next = add nuw nsw i64 %i, 1", "  %more = icmp slt i64 %i.next, %n"]
        after += ["  br i1 %more, label %loop, label %end", "end:", "  ret void", "}"]
        return "\n".join([head, *before, *self.lines, *after])

    def _load_coefficients(self) -> list[str]:
        lines = []
        for k, n in enumerate(coefficients(self.graph)):
            lines.append(f"  %c{k}.at = getelementptr {self.type}, ptr %c, i64 {k}")
            lines.append(f"  %c{k} = load {self.type}, ptr %c{k}.at")
            self.values[n] = f"%c{k}"
            if n.op in CONDITIONS:
                lines.append(f"  %c{k}.true = fcmp une {self.type} %c{k}, {self._constant(0.0)}")
                self.values[n] = f"%c{k}.true"
        if self.storage.is_scaled:
            lines.append(f"  %scale.at = getelementptr {self.type}, ptr %c, i64 {len(coefficients(self.graph))}")
            lines.append(f"  %scale = load {self.type}, ptr %scale.at")
        return lines

    def _body(self) -> None:
        for (name, register), kind in zip(self.registers.items(), self.storage.arrays, strict=True):
            memory = MEMORY[kind]
            self._emit(f"%{register}.at", f"getelementptr {memory}, ptr %{register}.base, i64 %i")
            self._emit(f"%{register}.stored", f"load {memory}, ptr %{register}.at, align 1")
            self.values[_leaf(name)] = self._widen(register, kind)
        if self.storage.is_scaled:
            scaled = self._value(_leaf("g"))
            self.values[_leaf("g")] = self._emit("%g.unscaled", f"fdiv {self.type} {scaled}, %scale")
        for number, n in enumerate(self.graph.array_nodes):
            self.values[n] = self._operation(f"%v{number}", n)
        x = self._emit("%x.new", f"fadd {self.type} {self._value(_leaf('x'))}, {self._value(self.graph.step)}")
        new = {"x": x, **{name: self._value(self.graph.slots[name]) for name in array_slots(self.graph)}}
        if self.storage.is_scaled:
            new["g"] = self._value(_leaf("g"))
        for (name, register), kind in zip(self.registers.items(), self.storage.arrays, strict=True):
            if name in new:
                bias = self._noise() if name == "x" and self.storage.is_stochastic else None
                rounded = self._narrow(register, new[name], kind, bias)
                self.lines.append(f"  store {MEMORY[kind]} {rounded}, ptr %{register}.at, align 1")

    def _emit(self, name: str, text: str) -> str:
        self.lines.append(f"  {name} = {text}")
        return name

    def _value(self, n: Node) -> str:
        return self._constant(n.value) if n.op == "const" else self.values[n]

    def _constant(self, value: float) -> str:
        if self.type == "float":
            value = ctypes.c_float(value).value
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"

    def _operation(self, out: str, n: Node) -> str:
        t = self.type
        a = [self._value(arg) for arg in n.args]
        if n.op in BINARY:
            return self._emit(out, f"{BINARY[n.op]} {t} {a[0]}, {a[1]}")
        if n.op in COMPARE:
            return self._emit(out, f"fcmp {COMPARE[n.op]} {t} {a[0]}, {a[1]}")
        match n.op:
            case "neg":
                return self._emit(out, f"fneg {t} {a[0]}")
            case "sqrt" | "abs":
                function = {"sqrt": "sqrt", "abs": "fabs"}[n.op]
                return self._emit(out, f"call {t} @llvm.{function}.{self.suffix}({t} {a[0]})")
            case "where":
                return self._emit(out, f"select i1 {a[0]}, {t} {a[1]}, {t} {a[2]}")
            case "maximum" | "minimum":  # the first where it wins or is NaN; the second also where it is NaN
                wins = self._emit(f"{out}.wins", f"fcmp {'ogt' if n.op == 'maximum' else 'olt'} {t} {a[0]}, {a[1]}")
                nan = self._emit(f"{out}.nan", f"fcmp uno {t} {a[0]}, {a[0]}")
                first = self._emit(f"{out}.first", f"or i1 {wins}, {nan}")
                return self._emit(out, f"select i1 {first}, {t} {a[0]}, {t} {a[1]}")
            case "sign":
                zero, one, minus = (self._constant(v) for v in (0.0, 1.0, -1.0))
                above = self._emit(f"{out}.above", f"fcmp ogt {t} {a[0]}, {zero}")
                below = self._emit(f"{out}.below", f"fcmp olt {t} {a[0]}, {zero}")
                nan = self._emit(f"{out}.nan", f"fcmp uno {t} {a[0]}, {a[0]}")
                low = self._emit(f"{out}.low", f"select i1 {below}, {t} {minus}, {t} {zero}")
                number = self._emit(f"{out}.number", f"select i1 {above}, {t} {one}, {t} {low}")
                return self._emit(out, f"select i1 {nan}, {t} {a[0]}, {t} {number}")
        raise NotImplementedError(f"the fused engine has no code for the operation {n.op!r}")

    def _widen(self, register: str, kind: str) -> str:
        """A stored value in the compute type."""
        value = f"%{register}.stored"
        if kind == "bfloat16":  # the upper half of a float
            bits = self._emit(f"%{register}.bits", f"zext i16 {value} to i32")
            high = self._emit(f"%{register}.high", f"shl i32 {bits}, 16")
            value, kind = self._emit(f"%{register}.float", f"bitcast i32 {high} to float"), "float32"
        return self._convert(f"%{register}.old", value, kind, self.storage.compute)

    def _noise(self) -> str:
        """16 random bits: the place of the element and the seed, mixed as at the end of MurmurHash3."""
        place = self._emit("%place", "add i64 %start, %i")
        low = self._emit("%place.low", f"trunc i64 {place} to i32")
        seed = self._emit("%seed.low", "trunc i64 %seed to i32")
        h = self._emit("%h0", f"mul i32 {low}, {signed(PLACE)}")
        h = self._emit("%h1", f"add i32 {h}, {seed}")
        for k, (shift, factor) in enumerate(MIX):
            shifted = self._emit(f"%h.shift{k}", f"lshr i32 {h}, {shift}")
            h = self._emit(f"%h.xor{k}", f"xor i32 {h}, {shifted}")
            h = self._emit(f"%h.mul{k}", f"mul i32 {h}, {signed(factor)}")
        return self._emit("%noise", f"lshr i32 {h}, 16")

    def _narrow(self, register: str, value: str, kind: str, bias: str | None = None) -> str:
        """A computed value rounded to a storage type: the nearest, ties to even, or as the bias of bfloat16 has it."""
        if kind != "bfloat16":
            return self._convert(f"%{register}.rounded", value, self.storage.compute, kind)
        value = self._convert(f"%{register}.single", value, self.storage.compute, "float32")
        bits = self._emit(f"%{register}.r0", f"bitcast float {value} to i32")
        if bias is None:
            upper = self._emit(f"%{register}.r1", f"lshr i32 {bits}, 16")
            odd = self._emit(f"%{register}.r2", f"and i32 {upper}, 1")
            bias = self._emit(f"%{register}.r3", f"add i32 {odd}, 32767")
        moved = self._emit(f"%{register}.r4", f"add i32 {bits}, {bias}")
        nearest = self._emit(f"%{register}.r5", f"lshr i32 {moved}, 16")
        nan = self._emit(f"%{register}.r6", f"fcmp uno float {value}, {value}")
        safe = self._emit(f"%{register}.r7", f"select i1 {nan}, i32 {0x7FC0}, i32 {nearest}")
        return self._emit(f"%{register}.rounded", f"trunc i32 {safe} to i16")

    def _convert(self, out: str, value: str, old: str, new: str) -> str:
        if old == new:
            return value
        word = "fpext" if SIZES[new] > SIZES[old] else "fptrunc"
        return self._emit(out, f"{word} {MEMORY[old]} {value} to {MEMORY[new]}")


def _leaf(name: str) -> Node:
    return node("array", name=name)
