"""Between 8-bit codes and the compute type, in LLVM IR: what `ravine.engines.storage.codes` says."""

from __future__ import annotations

import ctypes
import struct

from ravine.engines.fused.lower import Elements
from ravine.engines.fused.storage import CODED
from ravine.engines.storage.codes import BLOCK, INFINITY, LAST, MAGNITUDE, NAN, SHIFT, TOP
from ravine.engines.storage.noise import OFFSET, SLOT, STRIDE

DECLARATIONS = """\
declare i32 @llvm.smax.i32(i32, i32)
declare i32 @llvm.smin.i32(i32, i32)
declare i32 @llvm.umax.i32(i32, i32)
declare i32 @llvm.umin.i32(i32, i32)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"""


class Coding(Elements):
    """The part of a body that reads and writes codes. A slot's number k is among all array slots.

    Outside of the loop are the registers %slot{k}.zero, the bits of what lies before code 1 on the grid, and of what is
    encoded %slot{k}.scale, .first (the place of that), .smallest and .share. In the loop is %noise{pair}.
    """

    def _old_window(self, k: int) -> None:
        """Before the loop: where the grid begins for the codes that are in memory."""
        self._emit(f"slot{k}.old.scale", f"load i32, ptr %scale{k}.base, align 4")
        first = self._first(f"slot{k}.old", f"%slot{k}.old.scale", self.storage.slots[k])
        self._emit(f"slot{k}.zero", f"shl i32 {first}, {SHIFT}")

    def _new_window(self, k: int) -> None:
        """Before the loop: where it begins for new ones."""
        slot = f"slot{k}"
        scale = self._emit(f"{slot}.scale", f"load i32, ptr %{slot}.scale.at, align 4")
        first = self._first(f"{slot}.new", scale, self.storage.slots[k])
        self._emit(f"{slot}.first", f"add i32 {first}, 0")
        second = self._emit(f"{slot}.second", f"add i32 {first}, 1")
        bits = self._emit(f"{slot}.second.bits", f"shl i32 {second}, {SHIFT}")
        smallest = self._emit(f"{slot}.smallest", f"bitcast i32 {bits} to float")
        self._emit(f"{slot}.share", f"fmul float {smallest}, {single(2.0**-SHIFT)}")

    def _first(self, name: str, scale: str, kind: str) -> str:
        """The place on the grid that code 0 would have."""
        size = self._emit(f"{name}.size", f"and i32 {scale}, {MAGNITUDE}")
        top = self._emit(f"{name}.place", f"lshr i32 {size}, {SHIFT}")
        below = self._emit(f"{name}.below", f"sub i32 {top}, {TOP[kind]}")
        return self._emit(f"{name}.first", f"call i32 @llvm.smax.i32(i32 {below}, i32 0)")

    def _count_noise(self, encoded: list[int]) -> tuple[list[str], list[str]]:
        """Lines before the loop and at its top: a block's stride and offset, and the noise of the slots it encodes."""
        top, after = [], []
        pairs = dict.fromkeys(self.narrow.index(k) // 2 for k in encoded) if self.storage.is_state_stochastic else {}
        for pair in pairs:
            block = self._emit(f"noise{pair}.block", f"udiv i64 %start, {BLOCK}")
            place = self._emit(f"noise{pair}.place", f"trunc i64 {block} to i32")
            stride = self._hash(f"noise{pair}.stride", place, (pair + 1) * SLOT + STRIDE)
            offset = self._hash(f"noise{pair}.offset", place, (pair + 1) * SLOT + OFFSET)
            top.append(f"  %noise{pair} = phi i32 [ {offset}, %entry ], [ %noise{pair}.next, %loop ]")
            after.append(f"  %noise{pair}.next = add i32 %noise{pair}, {stride}")
        return self._taken(), [*top, *after]

    def _widen(self, register: str, value: str, kind: str, index: str) -> str:
        if kind not in CODED:
            return super()._widen(register, value, kind, index)
        whole = self._emit(f"{register}.whole", f"{'sext' if kind == 'int8' else 'zext'} i8 {value} to i32")
        upper = self._emit(f"{register}.upper", f"shl i32 {whole}, {SHIFT}")
        if kind == "int8":
            upper = self._emit(f"{register}.code", f"and i32 {upper}, {TOP[kind] << SHIFT}")
        bits = self._emit(f"{register}.moved", f"add i32 {upper}, %{register}.zero")
        most = self._emit(f"{register}.most", f"sub i32 0, {upper}")  # for code 0 zero, for others more than any bits
        bits = self._emit(f"{register}.bits", f"call i32 @llvm.umin.i32(i32 {bits}, i32 {most})")
        if kind == "int8":
            sign = self._emit(f"{register}.sign", f"and i32 {whole}, {-1 << 31}")
            bits = self._emit(f"{register}.both", f"or i32 {bits}, {sign}")
        value = self._emit(f"{register}.decoded", f"bitcast i32 {bits} to float")
        return self._convert(f"{register}.wide", value, "float32", self.storage.compute)

    def _top(self, k: int, value: str) -> None:
        """In the loop: the largest magnitude until now."""
        bits = self._emit(f"slot{k}.new.bits", f"bitcast float {value} to i32")
        size = self._emit(f"slot{k}.new.size", f"and i32 {bits}, {MAGNITUDE}")
        self._emit(f"slot{k}.top.next", f"call i32 @llvm.umax.i32(i32 {size}, i32 %slot{k}.top)")

    def _rescale(self, k: int) -> None:
        """After the loop: keep the scale that the largest magnitude makes."""
        slot, top = f"slot{k}", f"%slot{k}.top.next"
        above = self._emit(f"{slot}.above", f"add i32 {top}, {(1 << SHIFT) - 1}")
        place = self._emit(f"{slot}.place", f"lshr i32 {above}, {SHIFT}")
        place = self._emit(f"{slot}.no.less", f"call i32 @llvm.umax.i32(i32 {place}, i32 {TOP[self.storage.slots[k]]})")
        place = self._emit(f"{slot}.no.more", f"call i32 @llvm.umin.i32(i32 {place}, i32 {LAST})")
        scale = self._emit(f"{slot}.finite", f"shl i32 {place}, {SHIFT}")
        for test, value in (("uge", INFINITY), ("ugt", NAN)):
            is_it = self._emit(f"{slot}.is.{test}", f"icmp {test} i32 {top}, {INFINITY}")
            scale = self._emit(f"{slot}.or.{test}", f"select i1 {is_it}, i32 {value}, i32 {scale}")
        self.lines.append(f"  store i32 {scale}, ptr %{slot}.scale.at, align 4")

    def _encode(self, k: int, value: str, index: str) -> None:
        """In the loop: store a number's code."""
        kind = self.storage.slots[k]

        def emit(name: str, text: str) -> str:
            return self._emit(f"slot{k}.code.{name}", text)

        bits = emit("bits", f"bitcast float {value} to i32")
        size = emit("size", f"and i32 {bits}, {MAGNITUDE}")
        magnitude = emit("magnitude", f"bitcast i32 {size} to float")
        if self.storage.is_state_stochastic:
            number = self.narrow.index(k)
            add = self._cut(f"slot{k}.code", f"%noise{number // 2}", is_lower=number % 2 == 1, bits=SHIFT)
            chance = emit("chance", f"fmul float {emit('number', f'sitofp i32 {add} to float')}, %slot{k}.share")
            is_up = f"fcmp ogt float {magnitude}, {chance}"
        else:
            odd = emit("odd", f"and i32 {emit('last', f'lshr i32 {size}, {SHIFT}')}, 1")
            add = emit("half", f"add i32 {odd}, {(1 << SHIFT - 1) - 1}")
            is_up = f"fcmp oge float {emit('twice', f'fmul float {magnitude}, {single(2.0)}')}, %slot{k}.smallest"
        place = emit("place", f"lshr i32 {emit('moved', f'add i32 {size}, {add}')}, {SHIFT}")
        if kind == "int8":  # what is not up is −1 as a vector of truths has it, so count down from code 0
            below = emit("below", f"sub i32 %slot{k}.first, {place}")
            least = emit("least", f"sext i1 {emit('is.up', is_up)} to i32")
            code = emit("down", f"call i32 @llvm.smin.i32(i32 {below}, i32 {least})")
            code = emit("legal", f"call i32 @llvm.smax.i32(i32 {code}, i32 {-TOP[kind]})")
            sign = emit("sign", f"and i32 {emit('upper', f'lshr i32 {bits}, 24')}, {TOP[kind] + 1}")
            code = emit("both", f"sub i32 {sign}, {code}")
        else:  # zero where the number is; the bits of others are no less than their code
            above = emit("above", f"call i32 @llvm.umax.i32(i32 {place}, i32 %slot{k}.second)")
            code = emit("any", f"sub nuw nsw i32 {above}, %slot{k}.first")
            code = emit("or.zero", f"call i32 @llvm.umin.i32(i32 {code}, i32 {size})")
            code = emit("legal", f"call i32 @llvm.umin.i32(i32 {code}, i32 {TOP[kind]})")
        emit("at", f"getelementptr i8, ptr %slot{k}.base, i64 {index}")
        self.lines.append(f"  store i8 {emit('byte', f'trunc i32 {code} to i8')}, ptr %slot{k}.code.at, align 1")

    def _finish(self, k: int) -> None:
        """After the loop: the new scale. A NaN makes its block NaN."""
        top = TOP[self.storage.slots[k]]
        byte = top - 256 if top > 127 else top
        self.lines.append(f"  store i32 %slot{k}.scale, ptr %scale{k}.base, align 4")
        is_nan = self._emit(f"slot{k}.is.nan", f"icmp eq i32 %slot{k}.scale, {NAN}")
        self.lines += [f"  br i1 {is_nan}, label %slot{k}.nan, label %slot{k}.end", f"slot{k}.nan:"]
        self.lines.append(f"  call void @llvm.memset.p0.i64(ptr %slot{k}.base, i8 {byte}, i64 %n, i1 false)")
        self.lines += [f"  br label %slot{k}.end", f"slot{k}.end:"]


def single(value: float) -> str:
    """A float32 number as LLVM writes it."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', ctypes.c_float(value).value))[0]:016X}"
