"""The loop over elements where some slots are in 8-bit codes (`ravine.engines.storage.codes`): block by block, a block
is read, decoded and stepped, its new scales are found, and it is encoded, all while it is in the nearest cache.
"""

from __future__ import annotations

import ctypes
import math
import struct

import numpy as np

from ravine.engines.fused.lower import Elements, array_slots
from ravine.engines.fused.storage import CODED, MEMORY, Storage
from ravine.engines.storage.codes import BIAS, BLOCK, HALF, INFINITY, MAGNITUDE, NAN, NORMAL, SHIFT, SMALLEST, TOP
from ravine.engines.storage.noise import OFFSET, SLOT, STRIDE
from ravine.trace.graph import Graph


class Blocks(Elements):
    """The function that updates a run of elements of one tensor, from the first of a block on.

    A block is stepped in one loop and encoded in a second, since a scale is known only when all of it is stepped; new
    values wait in a buffer. (One loop that encodes a block while it steps the next is no faster.)
    """

    def __init__(self, graph: Graph, storage: Storage) -> None:
        super().__init__(graph, storage)
        self._strides: dict[tuple[str, int], str] = {}

    def function(self) -> str:
        return "\n\n".join([self._begin(), self._finish(), self._elements()])

    @property
    def _coded(self) -> dict[int, str]:
        """The registers of the coded slots by the slot's number."""
        return {k: f"slot{k}" for k in self.storage.scales}

    def _begin(self) -> str:
        """Step n elements of a block into the buffers, and store their new scales."""
        head = [f"define internal void @begin({self._parameters()}, {self._buffers()}) alwaysinline {{", "entry:"]
        head += [*self._before_steps(), "  br label %loop", "loop:", "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]"]
        return "\n".join([*head, *self._tops(), *self._steps(), *_end("%n"), *self._after_steps(), "  ret void", "}"])

    def _finish(self) -> str:
        """Encode n elements of a block from the buffers."""
        head = [f"define internal void @finish({self._before()}, {self._buffers()}, i64 %n, i64 %seed) alwaysinline {{"]
        head += ["entry:", *self._before_codes(), "  br label %loop"]
        head += ["loop:", "  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]"]
        return "\n".join([*head, *self._codes(), *_end("%n"), "  ret void", "}"])

    def _elements(self) -> str:
        """Whole blocks, whose length is a constant to the compiler, then what is left."""
        lines = [f"define internal void @elements({self._parameters()}) noinline {{", "entry:"]
        lines += [f"  %{slot}.buffer = alloca [{BLOCK} x float], align 64" for slot in self._coded.values()]
        lines += [f"  %whole = udiv i64 %n, {BLOCK}", f"  %rest = urem i64 %n, {BLOCK}"]
        lines += ["  %some = icmp sgt i64 %whole, 0", "  br i1 %some, label %loop, label %last"]
        lines += ["loop:", "  %b = phi i64 [ 0, %entry ], [ %b.next, %loop ]"]
        lines += [*self._begin_at("next", "%b", str(BLOCK)), *self._finish_at("done", "%b", str(BLOCK))]
        lines += ["  %b.next = add nuw nsw i64 %b, 1", "  %more = icmp slt i64 %b.next, %whole"]
        lines += ["  br i1 %more, label %loop, label %last"]
        lines += ["last:", "  %is.rest = icmp sgt i64 %rest, 0", "  br i1 %is.rest, label %short, label %end", "short:"]
        lines += [*self._begin_at("short", "%whole", "%rest"), *self._finish_at("rest", "%whole", "%rest")]
        return "\n".join([*lines, "  br label %end", "end:", "  ret void", "}"])

    def _begin_at(self, name: str, block: str, n: str) -> list[str]:
        at, pointers = self._pointers(name, block)
        buffers = [f"ptr %{slot}.buffer" for slot in self._coded.values()]
        arguments = [*pointers, f"ptr %c, i64 {n}, i64 %{name}.place, i64 %seed", *buffers]
        return [*at, f"  call void @begin({', '.join(arguments)})"]

    def _finish_at(self, name: str, block: str, n: str) -> list[str]:
        at, pointers = self._pointers_before(name, block)
        buffers = [f"ptr %{slot}.buffer" for slot in self._coded.values()]
        return [*at, f"  call void @finish({', '.join([*pointers, *buffers, f'i64 {n}, i64 %seed'])})"]

    def _buffers(self) -> str:
        return ", ".join(f"ptr noalias %{slot}.buffer" for slot in self._coded.values())

    def _before(self) -> str:
        """The block to encode: where its codes and scales lie, and its number."""
        pointers = [f"ptr noalias %{slot}.before, ptr noalias %{slot}.scale.before" for slot in self._coded.values()]
        return ", ".join([*pointers, "i64 %block"])

    def _pointers(self, name: str, block: str) -> tuple[list[str], list[str]]:
        """Lines that find a block of a number, and the pointers to it as arguments."""
        lines = [f"  %{name}.at = mul i64 {block}, {BLOCK}", f"  %{name}.place = add i64 %start, %{name}.at"]
        kinds = [MEMORY[kind] for kind in (*self.storage.arrays, *self.storage.beside)]
        registers = (*self.registers.values(), *self.beside)
        for register, kind in zip(registers, kinds, strict=True):
            at = block if register.startswith("scale") else f"%{name}.at"
            lines.append(f"  %{name}.{register} = getelementptr {kind}, ptr %{register}.base, i64 {at}")
        return lines, [f"ptr %{name}.{register}" for register in registers]

    def _pointers_before(self, name: str, block: str) -> tuple[list[str], list[str]]:
        lines = [f"  %{name}.from = mul i64 {block}, {BLOCK}", f"  %{name}.first = udiv i64 %start, {BLOCK}"]
        arguments = []
        for k, slot in self._coded.items():
            lines.append(f"  %{name}.codes{k} = getelementptr i8, ptr %{slot}.base, i64 %{name}.from")
            lines.append(f"  %{name}.scale{k}.at = getelementptr float, ptr %scale{k}.base, i64 {block}")
            arguments.append(f"ptr %{name}.codes{k}, ptr %{name}.scale{k}.at")
        lines.append(f"  %{name}.number = add i64 %{name}.first, {block}")
        return lines, [*arguments, f"i64 %{name}.number"]

    def _before_steps(self) -> list[str]:
        lines = self._load_coefficients()
        for k, slot in self._coded.items():
            scale = self._emit(f"{slot}.stored.scale", f"load float, ptr %scale{k}.base, align 4")
            is_infinite = self._finite(f"{slot}.scale", scale)
            bias = BIAS[self.storage.slots[k]] << SHIFT
            self._emit(f"{slot}.bias", f"select i1 {is_infinite}, i32 {bias + HALF}, i32 {bias}")
        return [*lines, *self._taken()]

    def _finite(self, name: str, scale: str) -> str:
        """Register `name` is what codes are relative to. Returns whether the scale is infinite."""
        is_infinite = self._emit(f"{name}.is.infinite", f"fcmp oeq float {scale}, {_float(math.inf)}")
        self._emit(name, f"select i1 {is_infinite}, float {LARGEST_FLOAT}, float {scale}")
        return is_infinite

    def _tops(self) -> list[str]:
        return [f"  %{s}.top = phi i32 [ 0, %entry ], [ %{s}.top.next, %loop ]" for s in self._coded.values()]

    def _steps(self) -> list[str]:
        return self.body("%i")

    def _after_steps(self) -> list[str]:
        for k, slot in self._coded.items():
            self._rescale(slot, f"%scale{k}.base")
        return self._taken()

    def _before_codes(self) -> list[str]:
        """The inverses of the new scales, and the noise's strides."""
        for slot in self._coded.values():
            stored = self._emit(f"{slot}.scale.stored", f"load float, ptr %{slot}.scale.before, align 4")
            self._finite(f"{slot}.scale.new", stored)
            scale = f"%{slot}.scale.new"
            none = self._emit(f"{slot}.is.zero", f"fcmp oeq float {scale}, {_float(0.0)}")
            inverse = self._emit(f"{slot}.divided", f"fdiv float {_float(1.0)}, {scale}")
            self._emit(f"{slot}.inverse", f"select i1 {none}, float {_float(0.0)}, float {inverse}")
        if self.storage.is_state_stochastic:
            place = self._emit("block.place", "trunc i64 %block to i32")
            for pair in dict.fromkeys(self.narrow.index(k) // 2 for k in self._coded):
                for name, more in (("stride", STRIDE), ("offset", OFFSET)):
                    self._strides[name, pair] = self._hash(f"{name}{pair}", place, (pair + 1) * SLOT + more)
        return self._taken()

    def _codes(self) -> list[str]:
        for k, slot in self._coded.items():
            self._encode(k, slot)
        return self._taken()

    def _widen(self, register: str, value: str, kind: str, index: str) -> str:
        if kind not in CODED:
            return super()._widen(register, value, kind, index)
        whole = self._emit(f"{register}.whole", f"sext i8 {value} to i32")
        size = self._emit(f"{register}.size", f"and i32 {whole}, {TOP[kind]}")
        upper = self._emit(f"{register}.upper", f"shl i32 {size}, {SHIFT}")
        bits = self._emit(f"{register}.bits", f"add i32 {upper}, %{register}.bias")
        zero = self._emit(f"{register}.zero", f"icmp eq i32 {size}, 0")
        bits = self._emit(f"{register}.safe", f"select i1 {zero}, i32 0, i32 {bits}")
        if kind == "int8":
            sign = self._emit(f"{register}.sign", f"and i32 {whole}, {-1 << 31}")
            bits = self._emit(f"{register}.both", f"or i32 {bits}, {sign}")
        value = self._emit(f"{register}.relative", f"bitcast i32 {bits} to float")
        value = self._emit(f"{register}.decoded", f"fmul float {value}, %{register}.scale")
        return self._convert(f"{register}.old", value, "float32", self.storage.compute)

    def _store(self, new: dict[str, str], index: str) -> None:
        """What has no code is stored; of what has one the largest magnitude is found, and it waits in a buffer."""
        slots = array_slots(self.graph)
        coded = {slots[k]: f"slot{k}" for k in self.storage.scales}
        super()._store({name: value for name, value in new.items() if name not in coded}, index)
        for name, slot in coded.items():
            value = self._convert(f"{slot}.single", new[name], self.storage.compute, "float32")
            self._emit(f"{slot}.buffer.at", f"getelementptr float, ptr %{slot}.buffer, i64 {index}")
            self.lines.append(f"  store float {value}, ptr %{slot}.buffer.at, align 4")
            bits = self._emit(f"{slot}.new.bits", f"bitcast float {value} to i32")
            size = self._emit(f"{slot}.new.size", f"and i32 {bits}, {MAGNITUDE}")
            above = self._emit(f"{slot}.above", f"icmp ugt i32 {size}, %{slot}.top")
            self._emit(f"{slot}.top.next", f"select i1 {above}, i32 {size}, i32 %{slot}.top")

    def _rescale(self, slot: str, address: str) -> None:
        """Store the scale that the largest magnitude makes."""
        top = f"%{slot}.top.next"
        for number, (test, bound, value) in enumerate((("ugt", INFINITY, NAN), ("ult", NORMAL, NORMAL))):
            is_it = self._emit(f"{slot}.is{number}", f"icmp {test} i32 {top}, {bound}")
            top = self._emit(f"{slot}.top{number}", f"select i1 {is_it}, i32 {value}, i32 {top}")
        none = self._emit(f"{slot}.none", f"icmp eq i32 %{slot}.top.next, 0")
        top = self._emit(f"{slot}.top.bits", f"select i1 {none}, i32 0, i32 {top}")
        self.lines.append(f"  store i32 {top}, ptr {address}, align 4")

    def _encode(self, k: int, slot: str) -> None:
        """The code of a value in the buffer, by the inverse of the new scale."""
        kind = self.storage.slots[k]

        def emit(name: str, text: str) -> str:
            return self._emit(f"{slot}.last.{name}", text)

        emit("from", f"getelementptr i32, ptr %{slot}.buffer, i64 %i")
        value = emit("value", f"load i32, ptr %{slot}.last.from, align 4")
        size = emit("bits", f"and i32 {value}, {MAGNITUDE}")
        y = emit("y", f"fmul float {emit('magnitude', f'bitcast i32 {size} to float')}, %{slot}.inverse")
        bits = emit("y.bits", f"bitcast float {y} to i32")
        if self.storage.is_state_stochastic:
            add = self._draw_by_block(f"{slot}.last", self.narrow.index(k))
            share = emit("share", f"fmul float {y}, {_float(2**SHIFT / SMALLEST[kind])}")
            is_up = f"fcmp ogt float {share}, {emit('chance', f'sitofp i32 {add} to float')}"
        else:
            odd = emit("odd", f"and i32 {emit('last', f'lshr i32 {bits}, {SHIFT}')}, 1")
            add = emit("half", f"add i32 {odd}, {(1 << SHIFT - 1) - 1}")
            is_up = f"fcmp oge float {emit('twice', f'fmul float {y}, {_float(2.0)}')}, {_float(SMALLEST[kind])}"
        if kind == "uint8":
            is_up = f"icmp ne i32 {size}, 0"
        low = emit("low", f"zext i1 {emit('is.up', is_up)} to i32")
        upper = emit("upper", f"lshr i32 {emit('moved', f'add i32 {bits}, {add}')}, {SHIFT}")
        code = emit("code", f"sub i32 {upper}, {BIAS[kind]}")
        code = emit("some", f"select i1 {emit('is.low', f'icmp slt i32 {code}, 1')}, i32 {low}, i32 {code}")
        is_high = emit("is.high", f"icmp sgt i32 {code}, {TOP[kind]}")
        code = emit("legal", f"select i1 {is_high}, i32 {TOP[kind]}, i32 {code}")
        if kind == "int8":
            below = f"fcmp olt float {emit('single', f'bitcast i32 {value} to float')}, {_float(0.0)}"
            sign = emit("sign", f"select i1 {emit('below', below)}, i32 {TOP[kind] + 1}, i32 0")
            code = emit("both", f"or i32 {code}, {sign}")
        emit("to", f"getelementptr i8, ptr %{slot}.before, i64 %i")
        self.lines.append(f"  store i8 {emit('byte', f'trunc i32 {code} to i8')}, ptr %{slot}.last.to, align 1")

    def _draw_by_block(self, slot: str, number: int) -> str:
        """Random bits for the slot of a number among the narrow ones: where a stride has come to."""
        stride, offset = (self._strides[name, number // 2] for name in ("stride", "offset"))
        step = self._emit(f"{slot}.step", f"mul i32 {self._emit(f'{slot}.i', 'trunc i64 %i to i32')}, {stride}")
        h = self._emit(f"{slot}.h", f"add i32 {step}, {offset}")
        return self._cut(slot, h, is_lower=number % 2 == 1, bits=SHIFT)


def _end(n: str) -> list[str]:
    """The end of a loop over %i, and what follows it."""
    lines = ["  %i.next = add nuw nsw i64 %i, 1", f"  %again = icmp slt i64 %i.next, {n}"]
    return [*lines, "  br i1 %again, label %loop, label %end", "end:"]


def _float(value: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', ctypes.c_float(value).value))[0]:016X}"


LARGEST_FLOAT = _float(float(np.finfo(np.float32).max))
