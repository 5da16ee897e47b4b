"""Between 8-bit codes and the compute type, in LLVM IR: what `ravine.engines.storage.codes` says."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

from ravine.engines.fused.lower import ONE, Elements
from ravine.engines.fused.rounding import Rounding, Shape
from ravine.engines.fused.storage import CODED, Storage
from ravine.engines.storage.codes import BLOCK, INFINITY, LAST, MAGNITUDE, NAN, SHIFT, TOP
from ravine.engines.storage.noise import OFFSET, SLOT, STRIDE
from ravine.trace.graph import Graph

MINIMA = ("smax", "smin", "umax", "umin")


def declarations(shape: Shape) -> str:
    """Of the functions that a body of a shape calls."""
    kind = shape.many("i32")
    return "\n".join(f"declare {kind} @llvm.{name}.{suffix(shape)}({kind}, {kind})" for name in MINIMA)


def suffix(shape: Shape, kind: str = "i32") -> str:
    """How the name of a function for each lane ends."""
    return kind if shape.lanes == 1 else f"v{shape.lanes}{kind}"


@dataclass
class Window:
    """What is known of a block's new codes before the loop over its elements: the scale's bits, and for each lane the
    place that code 0 has, that of code 1, the number there, and its share for each random number."""

    scale: str
    first: str
    second: str
    smallest: str
    share: str


class Coding(Elements):
    """The part of a body that reads and writes codes. A slot's number k is among all array slots.

    `zeros` has for each slot the bits of what lies before code 1 on the grid, `windows` what is known of new codes; in
    the loop is %noise{pair}.
    """

    def __init__(self, graph: Graph, storage: Storage, shape: Shape = ONE) -> None:
        super().__init__(graph, storage, shape)
        self.zeros: dict[int, str] = {}
        self.windows: dict[int, Window] = {}

    def _old_window(self, k: int) -> None:
        """Before the loop: where the grid begins for the codes that are in memory."""
        scale = self._emit(f"slot{k}.old.scale", f"load i32, {self.shape.pointer} %scale{k}.base, align 4")
        first = self._first(f"slot{k}.old", scale, self.storage.slots[k])
        zero = self._emit(f"slot{k}.zero", f"shl i32 {first}, {SHIFT}")
        self.zeros[k] = self._spread(f"slot{k}.zero", zero, "i32")

    def _new_window(self, k: int, scale: str) -> None:
        """Before the loop: where it begins for new ones."""
        slot = f"slot{k}"
        first = self._first(f"{slot}.window", scale, self.storage.slots[k])
        second = self._emit(f"{slot}.second", f"add i32 {first}, 1")
        bits = self._emit(f"{slot}.second.bits", f"shl i32 {second}, {SHIFT}")
        smallest = self._emit(f"{slot}.smallest", f"bitcast i32 {bits} to float")
        share = self._emit(f"{slot}.share", f"fmul float {smallest}, {single(2.0**-SHIFT)}")
        named = {"first": (first, "i32"), "second": (second, "i32")}
        named |= {"smallest": (smallest, "float"), "share": (share, "float")}
        lanes = {name: self._spread(f"{slot}.{name}", register, kind) for name, (register, kind) in named.items()}
        self.windows[k] = Window(scale, **lanes)

    def _first(self, name: str, scale: str, kind: str) -> str:
        """The place on the grid that code 0 would have."""
        size = self._emit(f"{name}.size", f"and i32 {scale}, {MAGNITUDE}")
        top = self._emit(f"{name}.place", f"lshr i32 {size}, {SHIFT}")
        below = self._emit(f"{name}.below", f"sub i32 {top}, {TOP[kind]}")
        return self._emit(f"{name}.first", f"call i32 @llvm.smax.i32(i32 {below}, i32 0)")

    def _pairs(self, encoded: list[int]) -> list[int]:
        """The pairs of slots that draw from one hash, of those that are encoded."""
        pairs = [self.narrow.index(k) // 2 for k in encoded] if self.storage.is_state_stochastic else []
        return list(dict.fromkeys(pairs))

    def _strides(self, pair: int) -> tuple[str, str]:
        """Before the loop: the stride and the offset of a block's noise."""
        block = self._emit(f"noise{pair}.block", f"udiv i64 %start, {BLOCK}")
        place = self._emit(f"noise{pair}.place", f"trunc i64 {block} to i32")
        one = Rounding(self.storage, ONE)
        stride = one._hash(f"noise{pair}.stride", place, (pair + 1) * SLOT + STRIDE)
        offset = one._hash(f"noise{pair}.offset", place, (pair + 1) * SLOT + OFFSET)
        self.lines += one._taken()
        return stride, offset

    def _count_noise(self, encoded: list[int]) -> tuple[list[str], list[str]]:
        """Lines before the loop and at its top: a block's stride and offset, and the noise of the slots it encodes."""
        top, after = [], []
        for pair in self._pairs(encoded):
            stride, offset = self._strides(pair)
            first, i32 = self._along(f"noise{pair}", offset, stride), self.shape.many("i32")
            far = self._emit(f"noise{pair}.far", f"mul i32 {stride}, {self.shape.lanes}")
            far = self._spread(f"noise{pair}.far", far, "i32")
            top.append(f"  %noise{pair} = phi {i32} [ {first}, %entry ], [ %noise{pair}.next, %loop ]")
            after.append(f"  %noise{pair}.next = add {i32} %noise{pair}, {far}")
        return self._taken(), [*top, *after]

    def _call(self, name: str, a: str, b: str, kind: str = "i32") -> str:
        """A function of two whole numbers for each lane."""
        many = self.shape.many(kind)
        return f"call {many} @llvm.{name}.{suffix(self.shape, kind)}({many} {a}, {many} {b})"

    def _widen(self, register: str, value: str, kind: str, index: str) -> str:
        if kind not in CODED:
            return super()._widen(register, value, kind, index)
        i32, i8, same = self.shape.many("i32"), self.shape.many("i8"), self._same
        whole = self._emit(f"{register}.whole", f"{'sext' if kind == 'int8' else 'zext'} {i8} {value} to {i32}")
        upper = self._emit(f"{register}.upper", f"shl {i32} {whole}, {same('i32', SHIFT)}")
        if kind == "int8":
            upper = self._emit(f"{register}.code", f"and {i32} {upper}, {same('i32', TOP[kind] << SHIFT)}")
        zero = self.zeros[int(register.removeprefix("slot"))]
        bits = self._emit(f"{register}.moved", f"add {i32} {upper}, {zero}")
        # For code 0 zero, for others more than any bits:
        most = self._emit(f"{register}.most", f"sub {i32} {same('i32', 0)}, {upper}")
        bits = self._emit(f"{register}.bits", self._call("umin", bits, most))
        if kind == "int8":
            sign = self._emit(f"{register}.sign", f"and {i32} {whole}, {same('i32', -1 << 31)}")
            bits = self._emit(f"{register}.both", f"or {i32} {bits}, {sign}")
        value = self._emit(f"{register}.decoded", f"bitcast {i32} {bits} to {self.shape.many('float')}")
        return self._convert(f"{register}.wide", value, "float32", self.storage.compute)

    def _size(self, k: int, value: str) -> str:
        """In the loop: the bits of a new number's magnitude."""
        i32 = self.shape.many("i32")
        bits = self._emit(f"slot{k}.new.bits", f"bitcast {self.shape.many('float')} {value} to {i32}")
        return self._emit(f"slot{k}.new.size", f"and {i32} {bits}, {self._same('i32', MAGNITUDE)}")

    def _scale(self, k: int, top: str) -> str:
        """After the loop: the scale that the largest magnitude makes."""
        slot = f"slot{k}"
        above = self._emit(f"{slot}.above", f"add i32 {top}, {(1 << SHIFT) - 1}")
        place = self._emit(f"{slot}.place", f"lshr i32 {above}, {SHIFT}")
        place = self._emit(f"{slot}.no.less", f"call i32 @llvm.umax.i32(i32 {place}, i32 {TOP[self.storage.slots[k]]})")
        place = self._emit(f"{slot}.no.more", f"call i32 @llvm.umin.i32(i32 {place}, i32 {LAST})")
        scale = self._emit(f"{slot}.finite", f"shl i32 {place}, {SHIFT}")
        for test, value in (("uge", INFINITY), ("ugt", NAN)):
            is_it = self._emit(f"{slot}.is.{test}", f"icmp {test} i32 {top}, {INFINITY}")
            scale = self._emit(f"{slot}.or.{test}", f"select i1 {is_it}, i32 {value}, i32 {scale}")
        return scale

    def _code(self, k: int, value: str) -> str:
        """In the loop: a number's code, as an i32 whose upper bits mean nothing."""
        kind, window = self.storage.slots[k], self.windows[k]
        i32, single_kind, truth, same = (
            self.shape.many("i32"),
            self.shape.many("float"),
            self.shape.many("i1"),
            self._same,
        )

        def emit(name: str, text: str) -> str:
            return self._emit(f"slot{k}.code.{name}", text)

        bits = emit("bits", f"bitcast {single_kind} {value} to {i32}")
        size = emit("size", f"and {i32} {bits}, {same('i32', MAGNITUDE)}")
        magnitude = emit("magnitude", f"bitcast {i32} {size} to {single_kind}")
        add = self._added(k, size)
        if self.storage.is_state_stochastic:
            drawn = emit("number", f"sitofp {i32} {add} to {single_kind}")
            chance = emit("chance", f"fmul {single_kind} {drawn}, {window.share}")
            is_up = f"fcmp ogt {single_kind} {magnitude}, {chance}"
        else:
            twice = emit("twice", f"fmul {single_kind} {magnitude}, {same('float', single(2.0))}")
            is_up = f"fcmp oge {single_kind} {twice}, {window.smallest}"
        moved = emit("moved", f"add {i32} {size}, {add}")
        place = emit("place", f"lshr {i32} {moved}, {same('i32', SHIFT)}")
        if kind == "int8":  # what is not up is −1 as a vector of truths has it, so count down from code 0
            below = emit("below", f"sub {i32} {window.first}, {place}")
            least = emit("least", f"sext {truth} {emit('is.up', is_up)} to {i32}")
            code = emit("down", self._call("smin", below, least))
            code = emit("legal", self._call("smax", code, same("i32", -TOP[kind])))
            upper = emit("upper", f"lshr {i32} {bits}, {same('i32', 24)}")
            sign = emit("sign", f"and {i32} {upper}, {same('i32', TOP[kind] + 1)}")
            return emit("both", f"sub {i32} {sign}, {code}")
        # Zero where the number is; the bits of others are no less than their code.
        above = emit("above", self._call("umax", place, window.second))
        code = emit("any", f"sub nuw nsw {i32} {above}, {window.first}")
        code = emit("or.zero", self._call("umin", code, size))
        return emit("legal", self._call("umin", code, same("i32", TOP[kind])))

    def _added(self, k: int, bits: str) -> str:
        """In the loop: what rounding adds to a number's bits before the lower ones are cut off."""
        i32, same = self.shape.many("i32"), self._same
        if self.storage.is_state_stochastic:
            number = self.narrow.index(k)
            return self._cut(f"slot{k}.code", f"%noise{number // 2}", is_lower=number % 2 == 1, bits=SHIFT)
        last = self._emit(f"slot{k}.code.last", f"lshr {i32} {bits}, {same('i32', SHIFT)}")
        odd = self._emit(f"slot{k}.code.odd", f"and {i32} {last}, {same('i32', 1)}")
        return self._emit(f"slot{k}.code.half", f"add {i32} {odd}, {same('i32', (1 << SHIFT - 1) - 1)}")

    def _store_code(self, k: int, code: str, index: str) -> None:
        """In the loop: store it."""
        i32, i8 = self.shape.many("i32"), self.shape.many("i8")
        byte = self._emit(f"slot{k}.code.byte", f"trunc {i32} {code} to {i8}")
        at = self._at(f"slot{k}", "int8", index)
        self.lines.append(f"  store {i8} {byte}, {at}, align {self.shape.alignment('int8')}")


def single(value: float) -> str:
    """A float32 number as LLVM writes it."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', ctypes.c_float(value).value))[0]:016X}"
