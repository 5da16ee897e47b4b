"""Encoding a block on a processor, in LLVM IR, in two ways that give the same codes.

Nearly all numbers lie where their block's codes do. The loop over elements encodes them as if all did, in few
instructions, half of them on the upper halves of numbers, and notes whether it was so. If not, a function of its own
encodes the block again, as `coding.py` has it for any numbers.
"""

from __future__ import annotations

from string import Template

from ravine.engines.fused import coding
from ravine.engines.fused.coding import Coding, suffix
from ravine.engines.fused.rounding import Shape
from ravine.engines.fused.storage import MEMORY, SIZES, Storage
from ravine.engines.storage.codes import LAST, MAGNITUDE, NAN, SHIFT, TOP
from ravine.trace.graph import Graph

HALF = SHIFT - 16
"""Bits that the grid lacks of a float32's upper half."""

# Zero has been encoded rightly, wherever the codes lie. The bits of a number but its sign, less one, are for zero the
# largest that there are.
BELOW = """\
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define internal i1 @has_below(ptr noalias %numbers, i64 %n, i32 %bits) noinline {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %least = phi i32 [ -1, %entry ], [ %least.next, %loop ]
  %at = getelementptr i32, ptr %numbers, i64 %i
  %number = load i32, ptr %at, align 4
  %twice = shl i32 %number, 1
  %less = sub i32 %twice, 1
  %least.next = call i32 @llvm.umin.i32(i32 %less, i32 %least)
  %i.next = add nuw nsw i64 %i, 1
  %again = icmp slt i64 %i.next, %n
  br i1 %again, label %loop, label %end, !llvm.loop !0
end:
  %limit.twice = shl i32 %bits, 1
  %limit = sub i32 %limit.twice, 1
  %is.below = icmp ult i32 %least.next, %limit
  ret i1 %is.below
}"""
"""Whether some number but zero is below one whose bits are given; and what `ENCODE` needs besides."""

ENCODE = Template("""\
define internal void @encode$k(ptr noalias %slot$k.base, ptr noalias %new$k, i32 %scale, i64 %n, i64 %start, i64 %seed)
    noinline {
entry:
$before
  %second.bits = shl i32 $second, $SHIFT
  %has.below = call i1 @has_below(ptr %new$k, i64 %n, i32 %second.bits)
  %is.above = icmp uge i32 %scale, $ABOVE
  %is.beside = or i1 %has.below, %is.above
  br i1 %is.beside, label %loop, label %end
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
$body
  %i.next = add nuw nsw i64 %i, 1
  %again = icmp slt i64 %i.next, %n
  br i1 %again, label %loop, label %encoded, !llvm.loop !0
encoded:
  %is.nan = icmp eq i32 %scale, $NAN
  br i1 %is.nan, label %nan, label %end
nan:
  call void @llvm.memset.p0.i64(ptr %slot$k.base, i8 $top, i64 %n, i1 false)
  br label %end
end:
  ret void
}""")
"""Encodes n numbers of any kind, unless they have been. A NaN makes its block NaN."""


def declarations(shape: Shape) -> str:
    """Of the functions that a body of a shape calls."""
    lines, i16 = [coding.declarations(shape)], shape.many("i16")
    lines += [f"declare {i16} @llvm.{name}.{suffix(shape, 'i16')}({i16}, {i16})" for name in ("umin", "usub.sat")]
    if shape.lanes > 1:
        for name, kind in (("umax", "i32"), ("umin", "i16")):
            lines.append(f"declare {kind} @llvm.vector.reduce.{name}.{suffix(shape, kind)}({shape.many(kind)})")
        for name in ("sqrt", "fabs"):
            single = shape.many("float")
            lines.append(f"declare {single} @llvm.{name}.{suffix(shape, 'f32')}({single})")
    return "\n".join(lines)


class Encoding(Coding):
    """The part of a body that writes codes.

    Of a slot that is encoded %slot{k}.scale is known outside of the loop, and by `lows` the upper half of what lies
    before code 1 on the grid. In it %slot{k}.least is the least until now of what lies above that.
    """

    def __init__(self, graph: Graph, storage: Storage, shape: Shape) -> None:
        super().__init__(graph, storage, shape)
        self.lows: dict[int, str] = {}

    def _encode_again(self, k: int) -> str:
        """The function for a slot's number."""
        self.places, top = {}, TOP[self.storage.slots[k]]
        self._new_window(k, "%scale")
        before, counting = self._count_noise([k])
        self._store_code(k, self._code(k, self._waiting(f"new{k}", "float32")), "%i")
        return ENCODE.substitute(
            k=k,
            before="\n".join(before),
            second=self.windows[k].second,
            SHIFT=SHIFT,
            ABOVE=LAST << SHIFT,
            body="\n".join([*counting, *self._taken()]),
            NAN=NAN,
            top=top - 256 if top > 127 else top,
        )

    def _low(self, k: int) -> None:
        """Before the loop: the scale, and where code 0 would lie."""
        scale = self._emit(f"slot{k}.scale", f"load i32, ptr %slot{k}.scale.at, align 4")
        first = self._first(f"slot{k}.new", scale, self.storage.slots[k])
        low = self._emit(f"slot{k}.low.wide", f"shl i32 {first}, {HALF}")
        self.lows[k] = self._spread(f"slot{k}.low", self._emit(f"slot{k}.low", f"trunc i32 {low} to i16"), "i16")

    def _encode(self, k: int, value: str, index: str) -> None:
        """In the loop: store the code of a number that lies among the codes, or is zero."""
        i32, i16, i8, same = *map(self.shape.many, ("i32", "i16", "i8")), self._same
        is_signed = self.storage.slots[k] == "int8"

        def emit(name: str, text: str) -> str:
            return self._emit(f"slot{k}.code.{name}", text)

        bits = emit("bits", f"bitcast {self.shape.many('float')} {value} to {i32}")
        moved = emit("moved", f"add {i32} {bits}, {self._added(k, bits)}")
        upper = self._upper(f"slot{k}.code.upper", moved, 32)
        size = emit("size", f"and {i16} {upper}, {same('i16', MAGNITUDE >> 16)}")
        above = emit("above", self._call("usub.sat", size, self.lows[k], "i16"))
        self._emit(f"slot{k}.least.next", self._call("umin", above, f"%slot{k}.least", "i16"))
        if is_signed:  # a byte of the sign and seven bits of code, and a lower byte of what is cut off
            left = emit("left", f"shl {i16} {above}, {same('i16', 8 - HALF)}")
            sign = emit("sign", f"and {i16} {upper}, {same('i16', -1 << 15)}")
            byte = self._upper(f"slot{k}.code.byte", emit("both", f"or {i16} {left}, {sign}"), 16)
        else:
            code = emit("code", f"lshr {i16} {above}, {same('i16', HALF)}")
            byte = emit("byte", f"trunc {i16} {code} to {i8}")
        emit("at", f"getelementptr i8, ptr %slot{k}.base, i64 {index}")
        self.lines.append(f"  store {i8} {byte}, ptr %slot{k}.code.at, align 1")

    def _upper(self, name: str, value: str, bits: int) -> str:
        """The upper halves of whole numbers; of lanes by one shuffle of twice as many halves."""
        whole, half, lanes = f"i{bits}", f"i{bits // 2}", self.shape.lanes
        if lanes == 1:
            high = self._emit(f"{name}.high", f"lshr {whole} {value}, {bits // 2}")
            return self._emit(name, f"trunc {whole} {high} to {half}")
        halves = f"<{2 * lanes} x {half}>"
        both = self._emit(f"{name}.halves", f"bitcast {self.shape.many(whole)} {value} to {halves}")
        odd = ", ".join(f"i32 {2 * lane + 1}" for lane in range(lanes))
        return self._emit(name, f"shufflevector {halves} {both}, {halves} poison, {self.shape.many('i32')} <{odd}>")

    def _finish(self, k: int) -> None:
        """After the loop: store the new scale; encode again unless all numbers lay among the codes."""
        slot = f"slot{k}"
        self.lines.append(f"  store i32 %{slot}.scale, ptr %scale{k}.base, align 4")
        least = self._of_all("umin", f"{slot}.least", "i16")
        is_below = self._emit(f"{slot}.is.below", f"icmp ult i16 {least}, {1 << HALF}")
        is_above = self._emit(f"{slot}.is.above", f"icmp uge i32 %{slot}.scale, {LAST << SHIFT}")
        is_beside = self._emit(f"{slot}.is.beside", f"or i1 {is_below}, {is_above}")
        self.lines += [f"  br i1 {is_beside}, label %{slot}.beside, label %{slot}.end", f"{slot}.beside:"]
        arguments = f"ptr %{slot}.base, ptr %new{k}, i32 %{slot}.scale, i64 %n, i64 %start, i64 %seed"
        self.lines += [f"  call void @encode{k}({arguments})", f"  br label %{slot}.end", f"{slot}.end:"]

    def _of_all(self, name: str, register: str, kind: str) -> str:
        """After the loop: the least or the largest that all lanes have found."""
        if self.shape.lanes == 1:
            return f"%{register}.next"
        many = self.shape.many(kind)
        call = f"call {kind} @llvm.vector.reduce.{name}.{suffix(self.shape, kind)}({many} %{register}.next)"
        return self._emit(f"{register}.of.all", call)

    def _waiting(self, name: str, kind: str) -> str:
        """In the loop: a value that an earlier pass has kept in a buffer."""
        at = self._emit(f"{name}.from", f"getelementptr {MEMORY[kind]}, ptr %{name}, i64 %i")
        return self._emit(f"{name}.value", f"load {self.shape.many(MEMORY[kind])}, ptr {at}, align {SIZES[kind]}")
